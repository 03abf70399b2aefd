"""A custom `for` loop around the engine's updates, with a `tf.Module` as the generator."""

from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

import gan_core
from experiments.examples import common


class Generator(tf.Module):
    """Latents [B, 64] -> images [B, 32, 32, 3] in [-1, 1]."""

    def __init__(self):
        super().__init__(name="generator")
        shapes = ([64, 8 * 8 * 64], [3, 3, 64, 4 * 32], [3, 3, 32, 4 * 3])
        draws = [keras.random.normal(shape, stddev=0.05, seed=shape[-1]) for shape in shapes]
        self.kernels = [tf.Variable(draw) for draw in draws]

    def __call__(self, latents: tf.Tensor) -> tf.Tensor:
        """One pass: dense, then twice a convolution whose channels become pixels."""
        dense, *convolutions = self.kernels
        images = tf.reshape(latents @ dense, [-1, 8, 8, 64])
        for kernel in convolutions:
            images = tf.nn.conv2d(tf.nn.leaky_relu(images), kernel, 1, "SAME")
            images = tf.nn.depth_to_space(images, 2)
        return tf.tanh(images)


def build_discriminator() -> keras.Model:
    """Images [B, 32, 32, 3] in [-1, 1] -> logits [B, 1]."""
    inner = [layers.Conv2D(32, 5, 2, "same"), layers.LeakyReLU(0.2), layers.Conv2D(64, 5, 2)]
    ends = [layers.LeakyReLU(0.2), layers.Flatten(), layers.Dense(1, dtype=keras.config.floatx())]
    return keras.Sequential([keras.Input((32, 32, 3)), *inner, *ends])


def main(run: common.ExampleRun) -> int:
    """Trains, or resumes; returns the exit code."""
    with run.strategy.scope():
        gan = gan_core.Gan(
            generator=Generator(),
            discriminator=build_discriminator(),
            generator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            latents=gan_core.NormalLatents(64),
            global_batch_size=run.options.global_batch_size,
        )
    options, workdir = run.options, Path(run.options.workdir)
    source = run.open_source((32, 32, 3))
    checkpoints = gan_core.run.Checkpoints(workdir / "checkpoints", gan)
    checkpoints.restore_latest()
    batches = run.batches(source, first_image=int(gan.images_seen.numpy()))
    writer = gan_core.run.PictureFilesWriter(workdir, source.name)
    draw_grid = gan_core.run.SampleGrid(gan, writer, source.name)

    @tf.function(autograph=False)
    def run_step() -> gan_core.Metrics:
        for _ in range(options.discriminator_updates):
            metrics = gan.update_discriminator(next(batches))
        metrics |= gan.update_generator()
        gan.end_step()
        return metrics

    for step in range(int(gan.step.numpy()) + 1, options.total_steps + 1):
        metrics = run_step()
        if step % options.every_steps == 0 or step == options.total_steps:
            print(step, {name: round(float(value), 3) for name, value in metrics.items()})
            draw_grid(step, metrics)
            checkpoints.save({})
    checkpoints.wait()
    return 0


EXAMPLE = common.Example(main, dataset="svhn_cropped")

if __name__ == "__main__":
    EXAMPLE.main()
