"""Flags of evaluation, the judge of a run's samples, and tables of values."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epy

import gan_core
from experiments.settings.data import Data, open_images, open_test_images
from experiments.settings.flag import EACH_MACHINE, FREELY, flag
from gan_core import ArgumentError

with epy.lazy_imports():
    import numpy as np

EXTRACTORS = ("auto", "classifier", "random_convolutions", "inception", "file")
_NUM_REAL = 5_000
_NUM_SUBSETS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation(Data):
    """Evaluation: interval, samples, features, early stopping."""

    evaluate_every_steps: int = flag(0, FREELY)
    """Steps between evaluations of the samples (distance to real images, coverage and more); 0 for
    none. The best checkpoint is kept."""
    evaluation_time_share: float = flag(0.05, FREELY, above=0, at_most=1)
    """Largest share of the time for evaluations; those that would exceed it are skipped."""
    evaluation_samples: int = flag(2000, FREELY, at_least=2, at_most=1e7)
    """Number of samples per evaluation."""
    evaluation_split: str = flag("auto", FREELY, describes_data=True)
    """Split of real images that were not trained on, as a reference for distances. auto: test if
    the dataset has it; none: a part of the training images is held out instead."""
    extractor: str = flag("auto", FREELY, choices=EXTRACTORS, describes_data=True)
    """Source of the features by which samples are judged. classifier: trained once on the labels;
    random_convolutions: for images without labels; auto: one of these two, by whether there are
    labels; inception: the graph of FID in --extractor_path; file: a Keras file or SavedModel
    there."""
    extractor_path: str = flag("", EACH_MACHINE)
    """File of --extractor=inception or file."""
    stop_after_no_improvement: int = flag(0, FREELY, unless=("evaluate_every_steps", 0))
    """Early stopping after this many evaluations in a row without a new best; 0 for never."""
    on_collapse: str = flag(
        "warn", FREELY, choices=gan_core.run.ON_COLLAPSE, unless=("evaluate_every_steps", 0)
    )
    """Action after three evaluations in a row that are three times as bad as the best. warn: report
    it; stop: end; rollback: return to the best checkpoint, and continue with other random
    numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stop_after_no_improvement", "on_collapse"):
            value = getattr(self, name)
            if not self.evaluate_every_steps and value != getattr(Evaluation, name):
                remedy = "give --evaluate_every_steps=500, for example, or leave it out"
                raise ArgumentError(name, value, "needs `evaluate_every_steps`", remedy)
        if self.extractor in ("inception", "file") and not self.extractor_path:
            rule = f"must name the file of `extractor` ({self.extractor})"
            raise ArgumentError("extractor_path", "empty", rule, "give its path")


def make_evaluation(
    settings: Evaluation,
    source: gan_core.data.ImageSource,
    image_shape: tuple[int, int, int],
    make_samples: Callable[[int], np.ndarray],
) -> gan_core.run.Evaluation | None:
    """Evaluation within a run; None if the run is not evaluated.

    Args:
      settings: Of the run.
      source: Its training images.
      image_shape: (H, W, C) of the samples.
      make_samples: Maps a count N to samples, uint8 [N, H, W, C].
    """
    if not settings.evaluate_every_steps:
        return None
    return gan_core.run.Evaluation(
        make_judge=lambda: make_judge(settings, source, image_shape),
        every_steps=settings.evaluate_every_steps,
        time_share=settings.evaluation_time_share,
        stop_after_no_improvement=settings.stop_after_no_improvement or None,
        on_collapse=settings.on_collapse,
        make_samples=make_samples,
    )


def make_judge(
    settings: Evaluation,
    source: gan_core.data.ImageSource,
    image_shape: tuple[int, int, int],
    *,
    search_all: bool = False,
) -> gan_core.evaluation.Judge:
    """The judge of a run.

    Args:
      settings: Of the run.
      source: Its training images.
      image_shape: (H, W, C) of the samples.
      search_all: Whether to look for copies among all training images; otherwise only among those
        that samples are compared with, which is faster.
    """
    if settings.crop == "random":  # its images are larger than what is cut out of them
        settings = dataclasses.replace(settings, crop="centre")
        source = open_images(settings, image_shape)
    test = open_test_images(settings, image_shape, settings.evaluation_split)
    num_real = min(
        max(_NUM_REAL, settings.evaluation_samples),
        len(source.images) if test else len(source.images) // 2,
    )
    cache_dir = Path(settings.cache_dir)
    extractor = make_extractor(
        settings.extractor, source, test, path=settings.extractor_path, cache_dir=cache_dir
    )
    judge_settings = gan_core.evaluation.JudgeSettings(
        num_samples=settings.evaluation_samples,
        num_real=num_real,
        num_searched=None if search_all else num_real,
        num_subsets=_NUM_SUBSETS,
    )
    return gan_core.evaluation.Judge(
        extractor, source, test, settings=judge_settings, cache_dir=cache_dir
    )


def make_extractor(
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
    """A feature extractor by its name.

    Args:
      name: One of `EXTRACTORS`; `auto` is `classifier` if the images have several classes, and
        `random_convolutions` otherwise.
      real: The training images, on whose labels a classifier is trained.
      test: Images of the same kind, on which its accuracy is measured.
      path: The file of `inception` and `file`.
      value_range: Inputs of a file's network for pixels 0 and 255.
      layer: Layer of a Keras file whose outputs are the features; the last one if empty.
      seed: Seed of the classifier.
      cache_dir: Folder in which the classifier is kept.
    """
    unknown = gan_core.data.UNKNOWN_LABEL
    if name == "auto":
        num_known = len(np.unique(real.labels[real.labels != unknown]))
        name = "classifier" if num_known > 1 else "random_convolutions"
    if name == "random_convolutions":
        return gan_core.evaluation.random_convolutions()
    if name == "inception":
        return gan_core.evaluation.inception_2015(path)
    if name == "file":
        return gan_core.evaluation.model_file(path, value_range=value_range, layer=layer or None)
    is_labelled = (
        test is not None
        and test.class_names == real.class_names != ()
        and bool((test.labels != unknown).any())
    )
    classifier = gan_core.evaluation.trained_classifier(
        real, test if is_labelled else None, cache_dir=cache_dir, seed=seed
    )
    gan_core.run.say(f"judged by a {classifier.describe()}")
    return classifier


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as a CSV file whose columns are the names in the first one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    gan_core.run.write_durably(path, text.getvalue().encode())
