"""The training loop that a user would write instead of the engine, judged every 20 seconds.

    python -m experiments.tools.time_to_quality.peers --experiment=fashion_mnist_dcgan --minutes=8

The loop is that of TensorFlow's DCGAN tutorial: two tapes in a `tf.function`, float32, Keras layers
and Adam. The networks are those of the experiment, with batches of 128 and Adam(2e-4, beta_1=0.5),
or those of the tutorial, with batches of 256 and Adam(1e-4).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from etils import epy

import gan_core
from experiments.program.experiment import load_experiment
from experiments.program.process import Command
from experiments.settings.evaluation import make_judge
from experiments.settings.flag import REQUIRED, Options, flag
from experiments.settings.settings import read_settings
from experiments.tools.time_to_quality.rows import DONE, OWN_NETWORKS, TUTORIAL_NETWORKS
from experiments.tools.timed_runs import judged_in
from gan_core.run import say

with epy.lazy_imports():
    import keras
    import tensorflow as tf
    from keras import layers

    from experiments.program import build
    from experiments.tools.benchmark import keras_peers

_SECONDS_BETWEEN = 20.0
_STEPS_A_LOOK = 10
_LATENT_SIZE = 100


def tutorial_networks() -> tuple[keras.Model, keras.Model]:
    """Both networks of TensorFlow's DCGAN tutorial, for 28x28x1."""
    generator = keras.Sequential(
        [
            keras.Input((_LATENT_SIZE,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Reshape((7, 7, 256)),
            layers.Conv2DTranspose(128, 5, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(64, 5, 2, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(1, 5, 2, "same", use_bias=False, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(64, 5, 2, "same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Conv2D(128, 5, 2, "same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    return generator, discriminator


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerOptions(Options):
    """Flags of a peer's run."""

    experiment: str = flag("fashion_mnist_dcgan")
    """Experiment whose data, and networks if they are not the tutorial's, are used."""
    peer: str = flag(OWN_NETWORKS, choices=(OWN_NETWORKS, TUTORIAL_NETWORKS))
    """Networks to train."""
    minutes: float = flag(8.0)
    """Minutes of training."""
    seed: int = flag(0)
    """Seed of weights and latents."""
    workdir: str = flag(REQUIRED, is_path=True)
    """Folder of the run."""
    settings: tuple[str, ...] = flag((), takes="rest")
    """Other flags, for the experiment."""


def _run(options: PeerOptions) -> None:
    workdir = Path(options.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    with gan_core.run.RunLock(workdir):
        _train_in(workdir, options)


def _train_in(workdir: Path, options: PeerOptions) -> None:
    (workdir / DONE).unlink(missing_ok=True)
    experiment = load_experiment(options.experiment)
    settings = read_settings(options.settings, experiment.defaults)
    assert settings
    keras.utils.set_random_seed(options.seed)
    if options.peer == TUTORIAL_NETWORKS:
        networks, latent_size, batch_size = tutorial_networks(), _LATENT_SIZE, 256
        optimizers = [keras.optimizers.Adam(1e-4) for _ in networks]
    else:
        networks, latent_size, batch_size = (
            keras_peers.keras_networks(experiment),
            experiment.latents.size,
            128,
        )
        optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in networks]
    generator = networks[0]
    image_shape = tuple(generator.output_shape[1:])
    source = build.open_source(settings, image_shape)
    judge = make_judge(settings, source, image_shape)
    judge.prepare()
    step = keras_peers.tutorial_step(*networks, *optimizers, [batch_size, latent_size])
    latents = tf.random.stateless_normal([settings.evaluation_samples, latent_size], [0, 0])
    path = workdir / "metrics.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        batches = iter(keras_peers.float_dataset(source.images, experiment.value_range, batch_size))
        score = lambda: judge.score(_images(generator, latents))  # noqa: E731
        for line in train(step, batches, options.minutes, score):
            print(line, file=lines, flush=True)
            newest = judged_in(path)[-1]
            in_time = f"{newest.minutes:.1f} of {options.minutes:g} minutes"
            say(f"step {newest.step:,}, {in_time}: distance {newest.distance:.3g}")
    picture = gan_core.run.grid(_images(generator, latents[:64]))
    (workdir / "samples.png").write_bytes(gan_core.run.png_bytes(picture, options.peer))
    gan_core.run.write_durably(workdir / DONE, f"{options.minutes:g}".encode())


def train(
    step: Callable[[tf.Tensor], tf.Tensor],
    batches: Iterator[tf.Tensor],
    minutes: float,
    judge: Callable[[], dict[str, float]],
) -> Iterator[str]:
    """Trains, and yields lines like those of a run's metrics; the last one at the end.

    The few steps before the last that come after the minutes are counted as within them, in the
    peer's favour.

    Args:
      step: Trains on a batch; returns a loss, which is waited for.
      batches: Its batches.
      minutes: Minutes of training, without evaluations.
      judge: Returns the judge's values, by `name@protocol`.
    """
    start, evaluating, count, next_look = time.monotonic(), 0.0, 0, _SECONDS_BETWEEN / 2
    is_over = False
    while not is_over:
        for _ in range(_STEPS_A_LOOK):
            loss = step(next(batches))
        loss.numpy()
        count += _STEPS_A_LOOK
        seconds = time.monotonic() - start - evaluating
        is_over = seconds >= 60 * minutes
        if not (is_over or seconds >= next_look):
            continue
        next_look = seconds + _SECONDS_BETWEEN
        begin = time.monotonic()
        values = {f"evaluation/{name}": value for name, value in judge().items()}
        end = time.monotonic()
        evaluating += end - begin
        training = min(seconds, 60 * minutes)
        own = {"step": count, "seconds": training + evaluating, "evaluation/seconds": end - begin}
        yield json.dumps(own | {"evaluation/step": count} | values)


def _images(generator: keras.Model, latents: tf.Tensor) -> np.ndarray:
    starts = range(0, len(latents), 500)
    images = [generator(latents[start : start + 500]).numpy() for start in starts]
    return gan_core.to_uint8(np.concatenate(images))


COMMAND = Command(PeerOptions, _run, __doc__)

if __name__ == "__main__":
    COMMAND.main()
