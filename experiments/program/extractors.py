"""What sees the samples, by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import gan_core


def choose_extractor(
    name: str,
    real: gan_core.data.ImageSource,
    test: gan_core.data.ImageSource | None,
    *,
    path: str = "",
    value_range: tuple[float, float] = (-1.0, 1.0),
    layer: str = "",
    seed: int = 0,
    cache_dir: Path,
) -> gan_core.evaluation.Extractor:
    """An extractor by its name among `settings.EXTRACTORS`.

    Args:
      name: `auto` is the classifier where the images have classes, and otherwise
        `random_convolutions`.
      real: The training images, on whose classes a classifier is trained.
      test: Images of the same kind, by which its accuracy is known.
      path: The file of `inception` and `file`.
      value_range: What 0 and 255 are to a network of a file.
      layer: Whose outputs are features, of a Keras file; the last's if empty.
      seed: Of the classifier.
      cache_dir: Where the classifier is kept.
    """
    if name == "auto":
        known = np.unique(real.labels[real.labels != gan_core.data.UNKNOWN_LABEL])
        name = "classifier" if len(known) > 1 else "random_convolutions"
    if name == "random_convolutions":
        return gan_core.evaluation.random_convolutions()
    if name == "inception":
        return gan_core.evaluation.inception_2015(path)
    if name == "file":
        return gan_core.evaluation.model_file(path, value_range=value_range, layer=layer or None)
    has_labels = (
        test is not None
        and test.class_names == real.class_names != ()
        and bool((test.labels != gan_core.data.UNKNOWN_LABEL).any())
    )
    classifier = gan_core.evaluation.trained_classifier(
        real, test if has_labels else None, cache_dir=cache_dir, seed=seed
    )
    gan_core.run.say(f"judged by a {classifier.facts()}")
    return classifier
