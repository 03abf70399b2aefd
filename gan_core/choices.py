"""Choices by name, importable without TensorFlow for the help texts."""

from __future__ import annotations

CROPS = ("centre", "none", "random")
"""Fitting of pictures of another size: see `gan_core.data.resizing.fit`."""

BAD_IMAGES = ("error", "skip")
"""Action on incomplete pictures: see `gan_core.data.folder_images`."""

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
"""Devices that an update runs on: see `gan_core.make_strategy`."""

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
"""Arithmetic of the networks: see `gan_core.fast.choose_precision`."""

ON_NAN = ("stop", "rollback")
"""Action if a loss or a gradient is not finite: see `gan_core.run.Plan`."""

ON_COLLAPSE = ("warn", "stop", "rollback")
"""Action if samples have become much worse: see `gan_core.run.Evaluation`."""

ARRAY_FILE_ENDINGS = (".npy", ".npz")
"""Files of images: see `gan_core.data.array_file_images`."""

LEARNING_RATES = ("constant", "linear", "cosine")
"""Learning rate schedules: see `gan_core.learning_rate`."""

AUGMENTATIONS = ("colour", "translation", "cutout", "flip")
"""Augmentations of the discriminator's images: see `gan_core.differentiable_augmentation`."""
