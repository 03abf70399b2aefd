"""`--mode=info`: networks, data, devices, versions and settings, without training."""

from __future__ import annotations

import platform

import keras
import numpy as np
import tensorflow as tf

from experiments.program import build
from experiments.program.experiment import Experiment
from experiments.program.process import DONE
from experiments.settings.devices import choose_precision, describe_strategy, make_strategy
from experiments.settings.settings import Settings


def run(experiment: Experiment, settings: Settings) -> int:
    """Prints everything; returns the exit code."""
    strategy = make_strategy(settings, settings.global_batch_size)
    settings, precision = choose_precision(settings)
    gan = build.build_gan(experiment, settings, strategy)
    networks = (gan.generator, gan.discriminator)
    for network in networks:
        network.summary()
    totals = [network.count_params() for network in networks]
    trainable = [sum(int(np.prod(v.shape)) for v in n.trainable_variables) for n in networks]
    for name, total, part in zip(
        ("generator", "discriminator", "both"),
        (*totals, sum(totals)),
        (*trainable, sum(trainable)),
        strict=True,
    ):
        print(f"{name}: {total:,} parameters, {part:,} trainable")
    for name, sister in experiment.sisters.items():
        print(f"--networks={name}: {sister.about}")
    print(f"data: {build.open_source(settings, build.image_shape(gan)).describe()}")
    print(f"disk: {build.describe_disk_use(gan, settings)}")
    print(f"devices: {describe_strategy(settings, strategy)}, {precision}")
    print(
        f"versions: Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}"
    )
    print(f"settings:\n{settings.as_flagfile()}", end="")
    return DONE
