"""The engine's step against what a user would write instead, side by side in one run.

    python -m experiments.benchmark --experiment=svhn_dcgan --precision=float32,mixed_bfloat16

All train the same networks on the same images with the same batch, in turn (A B C A B C ...), after
a warm-up; a turn is a few steps, and what counts is the median over the turns of a step's time, and
of its ratio to the engine's in the same turn. It also measures the largest matrix product that this
machine can do in the same precision and counts the step's arithmetic, which gives the share of that
ceiling. It prints a table and writes it, `benchmark.json` and `benchmark.png`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import io
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from matplotlib.figure import Figure
from tqdm import tqdm

import gan_core
from experiments import flags as experiment_flags
from experiments import parts
from experiments.experiment import Experiment
from experiments.step_arithmetic import step_flops

PEERS = ("train_on_batch", "fit", "tutorial")
_NUM_IMAGES = 2048
_CEILING_SIZE = 4096


@dataclasses.dataclass(frozen=True)
class Contestant:
    """Something that trains, a few steps a call.

    Attributes:
      name: What it is.
      precision: Its dtype policy.
      run_steps: Runs so many steps and returns when they are done.
    """

    name: str
    precision: str
    run_steps: Callable[[int], None]


def keras_networks(experiment: Experiment) -> tuple[keras.Model, keras.Model]:
    """Both networks with Keras's own layers, in the present dtype policy."""
    networks = (
        experiment.build_generator(experiment.latents.size),
        experiment.build_discriminator(),
    )
    return tuple(_with_keras_layers(network) for network in networks)


def make_engine(
    experiment: Experiment,
    images: np.ndarray,
    batch_size: int,
    precision: str,
    strategy_name: str = "none",
) -> Contestant:
    """The loop that `gan_core.train` runs, as the experiments build it; a turn is one call."""
    settings = experiment_flags.parse(
        [f"--precision={precision}", f"--global_batch_size={batch_size}"], experiment.defaults
    )
    strategy = tf.distribute.get_strategy()
    if strategy_name != "none":
        strategy = gan_core.make_strategy(strategy_name)
    gan = parts.build_gan(experiment, settings, strategy)
    source = gan_core.ImageSource("noise", images, np.zeros(len(images), np.int64))
    batches = gan_core.image_batches(source, global_batch_size=batch_size, strategy=strategy)
    run_in_graph = gan_core.make_step_loop(gan, gan_core.simultaneous())

    def run_steps(num_steps: int) -> None:
        metrics, _, _ = run_in_graph(batches, tf.constant(num_steps))
        metrics["generator/loss"].numpy()

    return Contestant("gan_core", precision, run_steps)


def make_train_on_batch(
    experiment: Experiment, images: np.ndarray, batch_size: int, precision: str
) -> Contestant:
    """Keras `train_on_batch` twice a step: the discriminator on fakes and reals together, then
    the generator through the frozen discriminator.
    """
    generator, discriminator = keras_networks(experiment)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    discriminator.compile(_keras_adam(), loss)
    discriminator.trainable = False
    both = keras.Sequential([generator, discriminator])
    both.compile(_keras_adam(), loss)
    batches = _float_batches(images, experiment, batch_size)
    labels = np.repeat([[0.0], [1.0]], batch_size, axis=0).astype(np.float32)
    ones = np.ones((batch_size, 1), np.float32)
    size = experiment.latents.size

    def run_steps(num_steps: int) -> None:
        for _ in range(num_steps):
            fakes = generator(tf.random.normal([batch_size, size]))
            pictures = tf.concat([tf.cast(fakes, tf.float32), next(batches)], 0)
            discriminator.trainable = True
            discriminator.train_on_batch(pictures, labels)
            discriminator.trainable = False
            both.train_on_batch(tf.random.normal([batch_size, size]), ones)

    return Contestant("Keras train_on_batch", precision, run_steps)


class _FitGan(keras.Model):
    """A GAN as Keras's examples write it: `fit` with an overridden `train_step`."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model, latent_size: int):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent_size = latent_size
        self.generator_optimizer = _keras_adam()
        self.discriminator_optimizer = _keras_adam()
        self.entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, real_images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update of each network."""
        batch_size = tf.shape(real_images)[0]
        labels = tf.concat([tf.zeros([batch_size, 1]), tf.ones([batch_size, 1])], 0)
        fakes = self.generator(tf.random.normal([batch_size, self.latent_size]), training=True)
        pictures = tf.concat([tf.cast(fakes, tf.float32), real_images], 0)
        with tf.GradientTape() as tape:
            logits = self.discriminator(pictures, training=True)
            discriminator_loss = self.entropy(labels, logits)
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply_gradients(
            zip(tape.gradient(discriminator_loss, variables), variables, strict=True)
        )
        with tf.GradientTape() as tape:
            latents = tf.random.normal([batch_size, self.latent_size])
            logits = self.discriminator(self.generator(latents, training=True), training=True)
            generator_loss = self.entropy(tf.ones([batch_size, 1]), logits)
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply_gradients(
            zip(tape.gradient(generator_loss, variables), variables, strict=True)
        )
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}


def make_fit(
    experiment: Experiment, images: np.ndarray, batch_size: int, precision: str
) -> Contestant:
    """Keras `fit` with an overridden `train_step`; a turn is one epoch of so many steps."""
    gan = _FitGan(*keras_networks(experiment), experiment.latents.size)
    gan.compile()
    dataset = _float_dataset(images, experiment, batch_size)

    def run_steps(num_steps: int) -> None:
        gan.fit(dataset, epochs=1, steps_per_epoch=num_steps, verbose=0)

    return Contestant("Keras fit, train_step", precision, run_steps)


def make_tutorial(
    experiment: Experiment, images: np.ndarray, batch_size: int, precision: str
) -> Contestant:
    """The two-tape `tf.function` of TensorFlow's DCGAN tutorial."""
    generator, discriminator = keras_networks(experiment)
    generator_optimizer, discriminator_optimizer = _keras_adam(), _keras_adam()
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    batches = _float_batches(images, experiment, batch_size)
    size = experiment.latents.size

    @tf.function
    def train_step(real_images: tf.Tensor) -> None:
        latents = tf.random.normal([batch_size, size])
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fakes = generator(latents, training=True)
            real_logits = discriminator(real_images, training=True)
            fake_logits = discriminator(fakes, training=True)
            generator_loss = entropy(tf.ones_like(fake_logits), fake_logits)
            discriminator_loss = entropy(tf.ones_like(real_logits), real_logits)
            discriminator_loss += entropy(tf.zeros_like(fake_logits), fake_logits)
        for tape, loss, network, optimizer in (
            (generator_tape, generator_loss, generator, generator_optimizer),
            (discriminator_tape, discriminator_loss, discriminator, discriminator_optimizer),
        ):
            variables = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def run_steps(num_steps: int) -> None:
        for _ in range(num_steps):
            train_step(next(batches))

    return Contestant("TensorFlow tutorial", precision, run_steps)


_MAKERS = {"train_on_batch": make_train_on_batch, "fit": make_fit, "tutorial": make_tutorial}


def measure(contestants: list[Contestant], turns: int, steps_a_turn: int) -> dict[str, dict]:
    """Seconds to the first step, and seconds a step of each turn, by contestant."""
    results = {}
    for contestant in contestants:
        start = time.perf_counter()
        contestant.run_steps(1)
        first = time.perf_counter() - start
        contestant.run_steps(steps_a_turn)
        results[_key(contestant)] = {"first_step_seconds": first, "step_seconds": []}
    for _ in tqdm(range(turns), unit=" turns", disable=None, leave=False):
        for contestant in contestants:
            start = time.perf_counter()
            contestant.run_steps(steps_a_turn)
            seconds = (time.perf_counter() - start) / steps_a_turn
            results[_key(contestant)]["step_seconds"].append(seconds)
    return results


def measure_ceiling(precision: str) -> float:
    """FLOP/s of a large matrix product in a policy's compute type; the best of several."""
    dtype = tf.bfloat16 if "bfloat16" in precision else tf.float32
    matrix = tf.cast(tf.random.normal([_CEILING_SIZE, _CEILING_SIZE]), dtype)
    multiply = tf.function(lambda: tf.reduce_sum(tf.cast(matrix @ matrix, tf.float32)))
    multiply()
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        multiply().numpy()
        best = min(best, time.perf_counter() - start)
    return 2.0 * _CEILING_SIZE**3 / best


def table(experiment: str, batch_size: int, results: dict, ceilings: dict, flops: int) -> str:
    """A Markdown table of one experiment's results."""
    lines = [
        f"### {experiment}, batch {batch_size}: {flops / 1e9:.1f} GFLOP a step",
        "",
        "| | precision | ms a step, median (min to max) | images/s | gan_core is faster by "
        "| same precision | share of the ceiling | first step |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    engines = {key.split("|")[1]: key for key in results if key.startswith("gan_core|")}
    best = min(engines.values(), key=lambda key: np.median(results[key]["step_seconds"]))
    for key, result in results.items():
        name, precision = key.split("|")
        seconds = np.array(result["step_seconds"])
        median = float(np.median(seconds))
        ratios = [_ratio(results, key, best), _ratio(results, key, engines[precision])]
        share = flops / median / ceilings[precision]
        lines.append(
            f"| {name} | {precision} | {1e3 * median:.0f} ({1e3 * seconds.min():.0f} to "
            f"{1e3 * seconds.max():.0f}) | {batch_size / median:,.0f} | {ratios[0]:.2f} | "
            f"{ratios[1]:.2f} | {100 * share:.0f}% | {result['first_step_seconds']:.1f} s |"
        )
    return "\n".join(lines)


def chart(all_results: dict[str, dict]) -> bytes:
    """A bar chart of the step times, an experiment a panel, as PNG bytes."""
    figure = Figure(figsize=(9, 3.2 * len(all_results)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(all_results), 1))
    for panel, (title, results) in zip(panels, all_results.items(), strict=True):
        names = [key.replace("|", "\n") for key in results]
        times = [1e3 * np.array(result["step_seconds"]) for result in results.values()]
        medians = [np.median(ms) for ms in times]
        spread = [[m - t.min() for m, t in zip(medians, times, strict=True)],
                  [t.max() - m for m, t in zip(medians, times, strict=True)]]  # fmt: skip
        colours = ["tab:orange" if name.startswith("gan_core") else "tab:blue" for name in names]
        panel.barh(names, medians, xerr=spread, color=colours)
        panel.invert_yaxis()
        panel.set_title(title)
        panel.set_xlabel("ms a step, median; the line from least to most")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _ratio(results: dict, key: str, engine: str) -> float:
    pairs = zip(results[key]["step_seconds"], results[engine]["step_seconds"], strict=True)
    return float(np.median([other / ours for other, ours in pairs]))


def _key(contestant: Contestant) -> str:
    return f"{contestant.name}|{contestant.precision}"


def _keras_adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(2e-4, beta_1=0.5)


def _with_keras_layers(network: keras.Model) -> keras.Model:
    """The same network with Keras's layers where this project has faster ones."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        for kind in type(layer).__mro__:
            if kind.__module__.startswith("keras."):
                return kind.from_config(layer.get_config())
        raise TypeError(type(layer))

    return keras.models.clone_model(network, clone_function=plain)


def _float_dataset(images: np.ndarray, experiment: Experiment, batch_size: int) -> tf.data.Dataset:
    low, high = experiment.value_range
    scaled = images.astype(np.float32) / 255.0 * (high - low) + low
    dataset = tf.data.Dataset.from_tensor_slices(scaled).shuffle(len(images)).repeat()
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)


def _float_batches(
    images: np.ndarray, experiment: Experiment, batch_size: int
) -> Iterator[tf.Tensor]:
    return iter(_float_dataset(images, experiment, batch_size))


def _define_flags() -> None:
    """When this is run, not when it is imported: other programs have flags of the same names."""
    flags.DEFINE_list("experiment", ["svhn_dcgan"], "Names of experiments.")
    flags.DEFINE_list("peers", list(PEERS), f"Some of {', '.join(PEERS)}, or none.")
    flags.DEFINE_list("precision", ["float32", "mixed_bfloat16"], "Dtype policies.")
    flags.DEFINE_list("global_batch_size", [], "The experiment's if empty.")
    strategies = ["none", "one_device", "mirrored"]
    flags.DEFINE_enum("strategy", "none", strategies, "What the engine runs under.")
    flags.DEFINE_integer("virtual_devices", 1, "Devices to split the CPU into.", lower_bound=1)
    flags.DEFINE_integer("turns", 10, "How often each has its turn.", lower_bound=1)
    flags.DEFINE_integer("steps_a_turn", 5, "Steps in one turn.", lower_bound=1)
    flags.DEFINE_string("output", "runs/benchmark", "Folder of table, JSON and chart.")


def _check_choices(name: str, values: list[str], known: tuple[str, ...]) -> None:
    for value in values:
        if value not in known:
            raise gan_core.ArgumentError(
                name, value, "must be one of the known", f"use some of {', '.join(known)}"
            )


def main(arguments: list[str]) -> int:
    """Runs the benchmark."""
    del arguments
    chosen = flags.FLAGS
    _check_choices("peers", chosen.peers, PEERS)
    _check_choices("precision", chosen.precision, ("float32", "mixed_bfloat16"))
    gan_core.make_virtual_devices(chosen.virtual_devices)
    ceilings = {precision: measure_ceiling(precision) for precision in chosen.precision}
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}"
    )
    print(machine)
    for precision, ceiling in ceilings.items():
        print(f"largest matrix product, {precision}: {ceiling / 1e9:.0f} GFLOP/s", flush=True)
    tables, all_results = [], {}
    for name in chosen.experiment:
        experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
        default = experiment_flags.parse([], experiment.defaults).global_batch_size
        for batch_size in [int(size) for size in chosen.global_batch_size] or [default]:
            contestants = []
            for precision in chosen.precision:
                keras.config.set_dtype_policy(precision)
                networks = keras_networks(experiment)
                images = np.random.default_rng(0).integers(
                    0, 256, (_NUM_IMAGES, *networks[0].output_shape[1:]), np.uint8
                )
                engine = functools.partial(make_engine, strategy_name=chosen.strategy)
                for make in (engine, *(_MAKERS[peer] for peer in chosen.peers)):
                    keras.config.set_dtype_policy(precision)
                    contestants.append(make(experiment, images, batch_size, precision))
            flops = step_flops(*networks, batch_size)
            results = measure(contestants, chosen.turns, chosen.steps_a_turn)
            tables.append(table(name, batch_size, results, ceilings, flops))
            print("\n" + tables[-1], flush=True)
            all_results[f"{name}, batch {batch_size}"] = results
    folder = Path(chosen.output)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine, "ceilings": ceilings, "results": all_results}
    (folder / "benchmark.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "benchmark.md").write_text(machine + "\n\n" + "\n\n".join(tables) + "\n")
    (folder / "benchmark.png").write_bytes(chart(all_results))
    print(f"\nwritten to {folder}")
    return 0


if __name__ == "__main__":
    _define_flags()
    app.run(main)
