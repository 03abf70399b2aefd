"""Trains an experiment's networks on one device, then on two, and compares all that they hold.

A process may make one MirroredStrategy only, and Keras computes in one type.

    python devices_program.py float64 EXPERIMENT STEPS FLAG...

It prints, as one JSON object, [largest difference, largest size] of each variable by its name.
"""

import gc
import importlib
import json
import sys
import types

import keras
import numpy as np
import tensorflow as tf

import gan_core
from experiments.program import build
from experiments.settings.run import make_schedule
from experiments.settings.settings import read_settings


def settings_of(experiment, arguments, precision):
    """The experiment's own, in a precision that need not be one of the flag's."""
    settings = read_settings(
        ["--batch_norm=synchronized", "--average_half_life_images=100", *arguments],
        experiment.defaults,
    )
    return types.SimpleNamespace(**vars(settings) | {"precision": precision})


def trained(experiment, settings, strategy, total_steps):
    """All values by name after some steps; second moments as their roots, in gradients' units."""
    gan = build.build_gan(experiment, settings, strategy)
    for layer in gan.discriminator.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # what it leaves out differs from replica to replica
    shape = (50, *gan.generator.output_shape[1:])
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    source = gan_core.data.ImageSource("noise", images, np.arange(len(images)))
    schedule = make_schedule(settings.discriminator_updates)
    batches = gan_core.data.image_batches(
        source,
        global_batch_size=settings.global_batch_size,
        strategy=strategy,
        seed=settings.seed,
        flip=settings.flip,
    )
    gan_core.train(gan, batches, total_steps=total_steps, schedule=schedule)
    values = {f"average/{i}": v.numpy() for i, v in enumerate(gan.generator_average.values)}
    owners = ("generator", "discriminator", "generator_optimizer", "discriminator_optimizer")
    for name in owners:
        for number, variable in enumerate(getattr(gan, name).variables):
            value = variable.numpy()
            is_second_moment = variable.path.endswith("_velocity")
            path = f"{name}/{number}/{variable.path.split('/', 1)[-1]}"
            values[path] = np.sqrt(value) if is_second_moment else value
    return values


def main(floatx, name, total_steps, *arguments):
    gan_core.run.make_virtual_devices(2)
    keras.config.set_floatx(floatx)
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    settings = settings_of(experiment, arguments, floatx)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    alone = trained(experiment, settings, strategy, int(total_steps))
    keras.backend.clear_session()
    gc.collect()
    strategy = gan_core.make_strategy("mirrored")
    together = trained(experiment, settings, strategy, int(total_steps))
    results = {}
    for path, value in alone.items():
        other = together.pop(path)
        assert value.dtype == other.dtype, path
        assert value.dtype.kind in "iu" or value.dtype == floatx, f"{path}: {value.dtype}"
        value, other = value.astype(np.float64), other.astype(np.float64)
        size = max(np.max(np.abs(value)), np.max(np.abs(other)))
        results[path] = [float(np.max(np.abs(value - other))), float(size)]
    assert not together
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
