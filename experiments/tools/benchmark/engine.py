"""The engine as a contestant: the loop that `gan_core.train` runs, as the experiments build it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import gan_core
from experiments.program import build
from experiments.settings.settings import read_settings
from experiments.tools.benchmark.contestants import Contestant, Task, random_images, weights_of


def _make(task: Task) -> Contestant:
    """A turn is one call."""
    if task.virtual_devices > 1:
        gan_core.run.make_virtual_devices(task.virtual_devices)
    experiment = task.load()
    settings = read_settings(
        [
            f"--precision={task.precision}",
            f"--global_batch_size={task.batch_size}",
            "--optimizer=adam",  # the experiment's own would be another than the peers'
        ],
        experiment.defaults,
    )
    strategy = tf.distribute.get_strategy()
    if task.strategy != "none":
        strategy = gan_core.make_strategy(task.strategy)
    gan = build.build_gan(experiment, settings, strategy)
    images = random_images(task, gan.generator)
    source = gan_core.data.ImageSource("noise", images, np.zeros(len(images), np.int64))
    batches = gan_core.data.image_batches(
        source, global_batch_size=task.batch_size, strategy=strategy
    )
    run_in_graph = gan_core.run.make_step_loop(gan, gan_core.simultaneous())

    def run_steps(num_steps: int) -> float:
        metrics, _, _ = run_in_graph(batches, tf.constant(num_steps))
        return num_steps * float(metrics["data_wait_seconds"])

    return Contestant("gan_core", run_steps, weights_of(gan.generator, gan.discriminator))


MAKERS = {"gan_core": _make}
