"""What can be chosen by name, for those who list the names before anything heavy is imported."""

from __future__ import annotations

CROPS = ("centre", "none", "random")
"""How pictures of another size are fitted: see `gan_core.data.resizing.fit`."""

BAD_IMAGES = ("error", "skip")
"""What to do with a file that is no whole picture: see `gan_core.data.folder_images`."""

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
"""Where the step runs: see `gan_core.make_strategy`."""

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
"""Which arithmetic the networks use: see `gan_core.fast.choose_precision`."""

ON_NAN = ("stop", "rollback")
"""What a run does where a loss or a gradient is not finite: see `gan_core.run.Plan`."""

ON_COLLAPSE = ("warn", "stop", "rollback")
"""What a run does when its samples have become much worse: see `gan_core.run.Evaluation`."""

ARRAY_FILE_ENDINGS = (".npy", ".npz")
"""Files of images: see `gan_core.data.array_file_images`."""

LEARNING_RATES = ("constant", "linear", "cosine")
"""How a learning rate changes over training: see `gan_core.learning_rate`."""

AUGMENTATIONS = ("colour", "translation", "cutout", "flip")
"""What may be done to the discriminator's images: see `gan_core.differentiable_augmentation`."""
