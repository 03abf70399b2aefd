"""The parts that all examples share: flags, data, and a run in a folder."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras
import tensorflow as tf

import gan_core
from experiments.program.process import DONE, EXIT_CODES, prepare_process, run_program
from experiments.settings.flag import REQUIRED, Options, flag
from experiments.settings.help import help_text
from experiments.settings.parse import parse
from experiments.settings.run import make_schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleOptions(Options):
    """Flags of an example."""

    workdir: str = flag(REQUIRED, is_path=True)
    """Folder of the run."""
    dataset: str = flag(REQUIRED)
    """Name or path of the data."""
    split: str = flag("train")
    """Part of the dataset."""
    data_dir: str = flag("", is_path=True)
    """The TensorFlow Datasets directory."""
    cache_dir: str = flag("~/.cache/gan_core", is_path=True)
    """Folder of decoded images."""
    total_steps: int = flag(5000)
    """Last step."""
    global_batch_size: int = flag(64)
    """Images per step."""
    discriminator_updates: int = flag(1)
    """Discriminator updates per step."""
    every_steps: int = flag(100, at_least=1)
    """Interval of grids and checkpoints."""
    precision: str = flag("float32", choices=gan_core.fast.PRECISIONS)
    """Arithmetic of the networks."""
    strategy: str = flag("auto", choices=gan_core.run.STRATEGIES)
    """Distribution strategy."""


class Example:
    """A program from the `main` of an example.

    Args:
      main: Builds a gan and trains it; returns the exit code.
      **defaults: Defaults by flag.
    """

    def __init__(self, main: Callable[[ExampleRun], int], **defaults: Any):
        module = inspect.getmodule(main)
        self._description = module.__doc__
        self._name = Path(module.__file__).stem
        self._main = main
        self._defaults = {"workdir": f"runs/{self._name}", **defaults}

    def run(self, arguments: Sequence[str]) -> int:
        """Runs the example with a command line; returns the exit code."""

        def work() -> int:
            options = parse(ExampleOptions, arguments, self._defaults)
            if options is None:
                print(help_text(ExampleOptions, self._description, self._defaults))
                return DONE
            keras.config.set_dtype_policy(gan_core.fast.choose_precision(options.precision)[0])
            keras.utils.set_random_seed(0)
            strategy = gan_core.make_strategy(options.strategy)
            return self._main(ExampleRun(self._name, options, strategy))

        return run_program(work)

    def main(self) -> NoReturn:
        """Runs the example with the process's command line, and exits."""
        prepare_process()
        sys.exit(self.run(sys.argv[1:]))


@dataclasses.dataclass(frozen=True)
class ExampleRun:
    """One run of an example.

    Attributes:
      name: Name of the example's module.
      options: Its flags.
      strategy: The distribution strategy that they name.
    """

    name: str
    options: ExampleOptions
    strategy: tf.distribute.Strategy

    def open_source(self, image_shape: tuple[int, int, int]) -> gan_core.data.ImageSource:
        """The images that `--dataset` names, fitted to a network."""
        return gan_core.data.open_images(
            self.options.dataset,
            split=self.options.split,
            data_dir=self.options.data_dir,
            image_shape=image_shape,
            cache_dir=Path(self.options.cache_dir),
        )

    def batches(
        self, source: gan_core.data.ImageSource, first_image: int
    ) -> Iterator[gan_core.data.Batch]:
        """Batches for a custom loop, from a position in the data."""
        size = self.options.global_batch_size
        return gan_core.data.image_batches(
            source, global_batch_size=size, strategy=self.strategy, first_image=first_image
        )

    def train(
        self, gan: gan_core.Gan, data: Any, make_picture: gan_core.run.MakePicture | None = None
    ) -> int:
        """Trains, or resumes, in `--workdir`; returns the program's exit code.

        Args:
          gan: The gan to train.
          data: An image source; or several by name, for unpaired batches of all.
          make_picture: Makes the picture of samples; a grid when None.
        """
        options, every = self.options, self.options.every_steps
        plan = gan_core.run.Plan(
            total_steps=options.total_steps,
            steps_per_call=1 if every % 10 else 10,
            log_every_steps=every,
            sample_every_steps=every,
            checkpoint_every_steps=every,
        )
        own = ("dataset", "split", "global_batch_size", "discriminator_updates", "precision")
        program = gan_core.run.Program(
            title=self.name,
            facts={"example": self.name},
            settings={name: getattr(options, name) for name in own},
            make_picture=make_picture,
        )
        run = gan_core.run.Run(
            gan,
            self._unpaired_batches(data) if isinstance(data, Mapping) else data,
            options.workdir,
            plan,
            schedule=make_schedule(options.discriminator_updates),
            program=program,
        )
        return EXIT_CODES[run.train().ending]

    def _unpaired_batches(
        self, sources: Mapping[str, gan_core.data.ImageSource]
    ) -> Callable[[int], Iterator[Any]]:
        """A function of `images_seen`: batches of images by source, each in its own order."""
        size = self.options.global_batch_size

        def read(number: tf.Tensor) -> dict[str, tf.Tensor]:
            numbers = number * size + tf.range(size, dtype=tf.int64)
            return {
                name: gan_core.data.read_images(source, numbers).images
                for name, source in sources.items()
            }

        def batches(images_seen: int) -> Iterator[Any]:
            dataset = tf.data.Dataset.counter(images_seen // size).map(read)
            return gan_core.data.distribute(dataset, self.strategy, size)

        return batches
