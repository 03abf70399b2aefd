"""What the examples share: their arguments, their data, and a run in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras
import tensorflow as tf

import gan_core
from experiments.program.process import EXIT_CODES, run_program
from experiments.settings.run import make_schedule
from experiments.tools.timed_runs import path_argument


class ByDomain(keras.Model):
    """Several networks in one, by the name of a domain.

    Args:
      networks: Built networks from images, by name.
    """

    def __init__(self, networks: Mapping[str, keras.Model]):
        super().__init__()
        self.networks = dict(networks)
        self.built = True

    def call(self, images: tf.Tensor, domain: str) -> tf.Tensor:
        """One pass through the network of `domain`."""
        return self.networks[domain](images)


def begin(
    name: str,
    arguments: Sequence[str] | None,
    *,
    dataset: str,
    discriminator_updates: int = 1,
    global_batch_size: int = 64,
) -> argparse.Namespace:
    """Reads the command line (or `arguments`), and sets the precision, the seed and `strategy`.

    Args:
      name: Of the example's module.
      arguments: Those of the command line when None.
      dataset: What it trains on by default.
      discriminator_updates: By default.
      global_batch_size: By default.
    """
    parser = argparse.ArgumentParser(f"python -m experiments.examples.{name}")
    workdir = {"default": f"runs/{name}", "type": path_argument}
    parser.add_argument("--workdir", help="the run's folder", **workdir)
    parser.add_argument("--dataset", default=dataset, help="a name or a path")
    parser.add_argument("--split", default="train")
    parser.add_argument("--data_dir", default="", help="the TensorFlow Datasets directory")
    parser.add_argument("--cache_dir", default="~/.cache/gan_core", type=Path)
    parser.add_argument("--total_steps", default=5000, type=int)
    parser.add_argument("--global_batch_size", default=global_batch_size, type=int)
    parser.add_argument("--discriminator_updates", default=discriminator_updates, type=int)
    parser.add_argument("--every_steps", default=100, type=int, help="of grids and checkpoints")
    parser.add_argument("--precision", default="float32", choices=gan_core.fast.PRECISIONS)
    parser.add_argument("--strategy", default="auto", choices=gan_core.run.STRATEGIES)
    options = parser.parse_args(arguments)
    keras.config.set_dtype_policy(gan_core.fast.choose_precision(options.precision)[0])
    keras.utils.set_random_seed(0)
    options.name = name
    options.strategy = gan_core.make_strategy(options.strategy)
    return options


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Runs an example's `main`, says in a line why it cannot work, and exits with its code."""
    sys.exit(run_program(main))


def open_source(
    options: argparse.Namespace, image_shape: tuple[int, int, int]
) -> gan_core.data.ImageSource:
    """The images that `--dataset` names, fitted to a network."""
    return gan_core.data.open_images(
        options.dataset,
        split=options.split,
        data_dir=options.data_dir,
        image_shape=image_shape,
        cache_dir=options.cache_dir.expanduser(),
    )


def batches_of(
    options: argparse.Namespace, source: gan_core.data.ImageSource, first_image: int
) -> Iterator[gan_core.data.Batch]:
    """Batches for a loop of one's own, from where it stands in its data."""
    return gan_core.data.image_batches(
        source,
        global_batch_size=options.global_batch_size,
        strategy=options.strategy,
        first_image=first_image,
    )


def train(
    options: argparse.Namespace,
    gan: gan_core.Gan,
    data: Any,
    make_picture: gan_core.run.MakePicture | None = None,
) -> int:
    """Trains, or resumes, in `--workdir`; returns the program's exit code.

    Args:
      options: From `begin`.
      gan: The gan to train.
      data: An image source; or several by name, for unpaired batches of all.
      make_picture: Makes the picture of samples; a grid when None.
    """
    if isinstance(data, Mapping):
        data = _unpaired_batches(options, data)
    every = options.every_steps
    plan = gan_core.run.Plan(
        total_steps=options.total_steps,
        steps_per_call=1 if every % 10 else 10,
        log_every_steps=every,
        sample_every_steps=every,
        checkpoint_every_steps=every,
    )
    own = ("dataset", "split", "global_batch_size", "discriminator_updates", "precision")
    program = gan_core.run.Program(
        title=options.name,
        facts={"example": options.name},
        settings={name: getattr(options, name) for name in own},
        make_picture=make_picture,
    )
    run = gan_core.run.Run(
        gan,
        data,
        options.workdir,
        plan,
        schedule=make_schedule(options.discriminator_updates),
        program=program,
    )
    return EXIT_CODES[run.train().ending]


def bright_and_dark(options: argparse.Namespace) -> dict[str, gan_core.data.ImageSource]:
    """Two domains of one source, 32x32x3: the middle is brighter than the whole, or not."""
    source = open_source(options, (32, 32, 3))
    is_bright = source.images[:, 8:24, 8:24].mean((1, 2, 3)) > source.images.mean((1, 2, 3))
    return {
        name: gan_core.data.ImageSource(name, source.images[chosen], source.labels[chosen])
        for name, chosen in (("bright", is_bright), ("dark", ~is_bright))
    }


def _unpaired_batches(
    options: argparse.Namespace, sources: Mapping[str, gan_core.data.ImageSource]
) -> Callable[[int], Iterator[Any]]:
    """From `images_seen` to batches of images by the sources' names, each in its own order."""
    size = options.global_batch_size

    def read(number: tf.Tensor) -> dict[str, tf.Tensor]:
        numbers = number * size + tf.range(size, dtype=tf.int64)
        return {
            name: gan_core.data.read_images(source, numbers).images
            for name, source in sources.items()
        }

    def batches(images_seen: int) -> Iterator[Any]:
        dataset = tf.data.Dataset.counter(images_seen // size).map(read)
        return gan_core.data.distribute(dataset, options.strategy, size)

    return batches
