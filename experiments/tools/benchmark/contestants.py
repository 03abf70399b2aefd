"""Contestants of the benchmark by name, each made from the same task."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from etils import epy

from experiments.program.experiment import Experiment, load_experiment

with epy.lazy_imports():
    import keras
    import numpy as np

ENGINE = "gan_core"
_MODULES = {
    "gan_core": "engine",
    "train_on_batch": "keras_peers",
    "fit": "keras_peers",
    "tutorial": "keras_peers",
    "torch": "torch_peers",
    "torch_channels_last": "torch_peers",
    "torch_compiled": "torch_peers",
    "torch_compiled_channels_last": "torch_peers",
}
PEERS = tuple(name for name in _MODULES if name != ENGINE)
_MOST_IMAGES = 2048
_MOST_VALUES = 2**26


@dataclasses.dataclass(frozen=True)
class Task:
    """The task of all contestants.

    Attributes:
      experiment: Name of the experiment: networks, latents, range of the images.
      batch_size: Images per step.
      precision: Name of a Keras dtype policy.
      strategy: Distribution strategy of the engine.
      virtual_devices: Devices that the engine splits the CPU into.
    """

    experiment: str
    batch_size: int
    precision: str
    strategy: str = "none"
    virtual_devices: int = 1

    def load(self) -> Experiment:
        """The experiment."""
        return experiment_named(self.experiment)


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A training loop to measure.

    Attributes:
      title: Name for people.
      run_steps: Runs so many steps, returns when they are done; the seconds that it waited for
        data meanwhile, or None if it cannot tell.
      weights: All weights that it trains.
    """

    title: str
    run_steps: Callable[[int], float | None]
    weights: Callable[[], list[np.ndarray]]


def experiment_named(name: str) -> Experiment:
    """An experiment by its module's name, or `dcgan_<resolution>`."""
    if name.startswith("dcgan_"):
        from experiments.tools.benchmark.dcgan import dcgan

        return dcgan(name.removeprefix("dcgan_"))
    return load_experiment(name, remedy="use svhn_dcgan or dcgan_64, say")


def maker_of(name: str) -> Callable[[Task], Contestant]:
    """The function that makes a contestant; its libraries are imported only then."""
    return importlib.import_module(f"experiments.tools.benchmark.{_MODULES[name]}").MAKERS[name]


def weights_of(*networks: keras.Model) -> Callable[[], list[np.ndarray]]:
    """A function that reads the weights that are trainable now."""
    variables = [variable for network in networks for variable in network.trainable_variables]
    return lambda: [variable.numpy() for variable in variables]


def random_images(task: Task, generator: keras.Model) -> np.ndarray:
    """Noise, uint8 [N, H, W, C]; the size of a small data set, limited by memory as floats."""
    shape = generator.output_shape[1:]
    count = min(_MOST_IMAGES, max(2 * task.batch_size, _MOST_VALUES // int(np.prod(shape))))
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


class WaitClock:
    """An iterator that measures how long another one took."""

    def __init__(self, iterator: Iterator[Any]):
        self._iterator = iterator
        self._seconds = 0.0

    def __next__(self) -> Any:
        start = time.perf_counter()
        item = next(self._iterator)
        self._seconds += time.perf_counter() - start
        return item

    def read(self) -> float:
        """Seconds since it was last read."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds
