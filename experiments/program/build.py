"""Networks, images and checkpoints of an experiment, as the settings of all topics name them."""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import gan_core
from experiments.program.experiment import Experiment
from experiments.settings import conditional
from experiments.settings.data import open_images
from experiments.settings.devices import choose_precision, make_strategy
from experiments.settings.game import make_game
from experiments.settings.optimizers import make_optimizers
from experiments.settings.settings import Settings
from gan_core import ArgumentError


def build_gan(
    experiment: Experiment, settings: Settings, strategy: tf.distribute.Strategy
) -> gan_core.Gan:
    """Both networks, their optimizers and the game, in the scope of the strategy."""
    if settings.jit_compile and not tf.config.list_physical_devices("GPU"):
        words = "--jit_compile without a GPU: XLA's convolutions are many times slower on CPUs"
        warnings.warn(words, RuntimeWarning, stacklevel=2)
    keras.config.set_dtype_policy(settings.precision)
    keras.utils.set_random_seed(settings.seed)
    with strategy.scope():
        if settings.num_classes:
            networks = conditional.build_networks(experiment, settings.num_classes)
            generator, discriminator, *inner = networks
        else:
            generator = experiment.build_generator(experiment.latents.size)
            discriminator = experiment.build_discriminator()
            inner = [generator, discriminator]
        if settings.batch_norm == "synchronized" and strategy.num_replicas_in_sync > 1:
            for network in inner:
                gan_core.fast.synchronize_batch_normalization(network)
        generator_optimizer, discriminator_optimizer = make_optimizers(
            settings,
            discriminator_updates=settings.discriminator_updates,
            scales_loss=settings.precision == "mixed_float16",
        )
        is_conditional = bool(settings.num_classes)
        return gan_core.Gan(
            generator=generator,
            discriminator=discriminator,
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            latents=experiment.latents,
            global_batch_size=settings.global_batch_size,
            game=make_game(
                settings, conditional.ConditionalGame if is_conditional else gan_core.Game
            ),
            average_half_life_images=settings.average_half_life_images or None,
            value_range=experiment.value_range,
            seed=settings.seed,
            jit_compile=settings.jit_compile,
        )


def build_for_samples(
    experiment: Experiment, settings: Settings, checkpoint: Path
) -> tuple[Settings, gan_core.Gan]:
    """Networks for samples of a run, and the settings they are built with.

    Weights are averaged if the run that saved the checkpoint did so.
    """
    strategy = make_strategy(settings, settings.global_batch_size)
    settings, _ = choose_precision(settings)
    half_life = gan_core.run.read_facts(checkpoint)["settings"]["average_half_life_images"]
    settings = dataclasses.replace(settings, average_half_life_images=half_life)
    return settings, build_gan(experiment, settings, strategy)


def open_source(settings: Settings, image_shape: tuple[int, int, int]) -> gan_core.data.ImageSource:
    """The training images, fitted to the network's size (H, W, C).

    Raises:
      ArgumentError: If they cannot be read, are fewer than a batch, or lack the labels needed.
    """
    source = open_images(settings, image_shape)
    count, size = len(source.images), settings.global_batch_size
    if count < size:
        rule = f"must hold a batch of {size} usable images at least, but has {count}"
        remedy = "add images, or use a smaller --global_batch_size"
        raise ArgumentError("dataset", source.name, rule, remedy)
    if settings.num_classes:
        conditional.check_labels(source, settings.num_classes)
    return source


def make_samples(
    gan: gan_core.Gan, settings: Settings, source: gan_core.data.ImageSource, count: int
) -> np.ndarray:
    """Samples to judge, uint8 [count, H, W, C], with the class frequencies of the data."""
    if not settings.num_classes:
        return gan_core.run.generate_samples(gan, count, "evaluation")
    labels = np.random.default_rng(settings.seed).choice(source.labels, count)
    return gan_core.run.generate_samples(
        gan, count, "evaluation", lambda start, size: {"labels": labels[start : start + size]}
    )


def describe_disk_use(gan: gan_core.Gan, settings: Settings) -> str:
    """Disk space of the run's checkpoints and free space, in words; warns if it is too little."""
    owners = [
        gan.generator,
        gan.discriminator,
        gan.generator_optimizer,
        gan.discriminator_optimizer,
        *filter(None, [gan.generator_average]),
    ]
    variables = [variable for owner in owners for variable in owner.variables]
    one = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
    # One more than is kept while the newest is written, and the best one if runs are evaluated.
    most = one * (settings.keep_checkpoints + 1 + bool(settings.evaluate_every_steps))
    free = shutil.disk_usage(gan_core.run.nearest_existing(Path(settings.workdir))).free
    if free < most:
        warnings.warn(
            f"--workdir={settings.workdir} has {free / 2**20:,.0f} MiB of room, and checkpoints "
            f"take up to {most / 2**20:,.0f} MiB: make room, or keep fewer with --keep_checkpoints",
            RuntimeWarning,
            stacklevel=2,
        )
    return (
        f"{one / 2**20:,.0f} MiB per checkpoint, up to {most / 2**20:,.0f} MiB in all; "
        f"{free / 2**30:,.1f} GiB are free"
    )


def image_shape(gan: gan_core.Gan) -> tuple[int, int, int]:
    """(H, W, C) of the generator's images."""
    return tuple(gan.generator.output_shape[1:])
