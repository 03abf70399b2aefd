"""What a type checker must make of the public names: `mypy` reads it, and nothing runs it.

The names are imported when they are first used. A checker must see through that.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from typing_extensions import assert_type

import gan_core


def names_of_the_engine(gan: gan_core.Gan, batches: Iterator[gan_core.data.Batch]) -> None:
    assert_type(gan_core.hinge(), gan_core.AdversarialLoss)
    assert_type(gan_core.UniformLatents(3).low, float)
    assert_type(gan_core.Game().regularizers, tuple[gan_core.Regularizer, ...])
    assert_type(gan_core.alternating(2)(gan, batches), gan_core.Metrics)
    assert_type(gan.generator_average, gan_core.WeightAverage | None)
    gan_core.train(gan, batches, total_steps=3, hooks=[gan_core.run.Every(1, print_metrics)])


def print_metrics(step: int, metrics: gan_core.Metrics) -> None:
    print(step, metrics)


def names_of_its_rooms(gan: gan_core.Gan) -> None:
    source = gan_core.data.drawn_digits("test")
    assert_type(source, gan_core.data.ImageSource)
    assert_type(source.image_shape, tuple[int, int, int])
    assert_type(gan_core.data.to_uint8(np.zeros([1, 1, 1])), np.ndarray)
    assert_type(gan_core.fast.choose_precision(), tuple[str, str])
    assert_type(gan_core.fast.PRECISIONS, tuple[str, str, str, str])
    run = gan_core.run.Run(gan, source, "runs/mine", gan_core.run.Plan(total_steps=3))
    assert_type(run.train().ending, gan_core.run.Ending)
    assert_type(gan_core.run.newest_facts(Path("runs")), gan_core.run.Facts | None)
