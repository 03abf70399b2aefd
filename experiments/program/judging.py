"""From settings to the judge of a run's samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import gan_core
from experiments.program import build as parts
from experiments.program import extractors
from experiments.settings.settings import Settings
from gan_core import ArgumentError

_NUM_REAL = 5_000
_NUM_SUBSETS = 20


def make_evaluation(
    settings: Settings, gan: gan_core.Gan, source: gan_core.data.ImageSource
) -> gan_core.run.Evaluation | None:
    """When the run is judged, and what follows; None where it is not."""
    if not settings.evaluate_every_steps:
        return None
    return gan_core.run.Evaluation(
        make_judge=lambda: make_judge(settings, source, parts.image_shape(gan)),
        every_steps=settings.evaluate_every_steps,
        time_share=settings.evaluation_time_share,
        stop_after_no_improvement=settings.stop_after_no_improvement or None,
        on_collapse=settings.on_collapse,
        make_samples=lambda count: make_samples(gan, settings, source, count),
    )


def make_judge(
    settings: Settings,
    source: gan_core.data.ImageSource,
    image_shape: tuple[int, int, int],
    *,
    search_all: bool = False,
) -> gan_core.evaluation.Judge:
    """The judge of a run on `source`.

    Args:
      settings: Of the run.
      source: What it is trained on.
      image_shape: (H, W, C) of the samples.
      search_all: Whether copies are looked for among all training images; otherwise, which is
        faster, among those that samples are compared with.
    """
    if settings.crop == "random":  # its images are larger than what is cut out of them
        settings = dataclasses.replace(settings, crop="centre")
        source = parts.read_source(settings, image_shape)
    test = _test_images(settings, image_shape)
    num_real = min(
        max(_NUM_REAL, settings.evaluation_samples),
        len(source.images) if test else len(source.images) // 2,
    )
    cache_dir = Path(settings.cache_dir)
    extractor = extractors.choose_extractor(
        settings.extractor, source, test, path=settings.extractor_path, cache_dir=cache_dir
    )
    return gan_core.evaluation.Judge(
        extractor,
        source,
        test,
        settings=gan_core.evaluation.JudgeSettings(
            num_samples=settings.evaluation_samples,
            num_real=num_real,
            num_searched=None if search_all else num_real,
            num_subsets=_NUM_SUBSETS,
        ),
        cache_dir=cache_dir,
    )


def make_samples(
    gan: gan_core.Gan, settings: Settings, source: gan_core.data.ImageSource, count: int
) -> np.ndarray:
    """Samples to judge, uint8 [count, H, W, C]; of classes as often as the data have them."""
    if not settings.num_classes:
        return gan_core.run.generate_samples(gan, count, "evaluation")
    labels = np.random.default_rng(settings.seed).choice(source.labels, count)
    return gan_core.run.generate_samples(
        gan, count, "evaluation", lambda start, size: {"labels": labels[start : start + size]}
    )


def _test_images(
    settings: Settings, image_shape: tuple[int, int, int]
) -> gan_core.data.ImageSource | None:
    """The images of `--evaluation_split`; None where there are none."""
    split = settings.evaluation_split
    if split == "none":
        return None
    has_splits = settings.dataset != "folder" and not settings.dataset.endswith(
        gan_core.data.ARRAY_FILE_ENDINGS
    )
    if split == "auto":
        if not has_splits or "test" in settings.split or "test" not in _splits(settings):
            return None
        split = "test"
    elif not has_splits:
        raise ArgumentError(
            "evaluation_split", split, "needs a dataset with splits", "leave it out"
        )
    return parts.read_source(dataclasses.replace(settings, split=split), image_shape)


def _splits(settings: Settings) -> Sequence[str]:
    if settings.dataset == "drawn_digits":
        return ("train", "test")
    return gan_core.data.tfds_splits(settings.dataset, settings.data_dir or None)
