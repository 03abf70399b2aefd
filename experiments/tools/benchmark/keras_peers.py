"""Training loops that a Keras user would write instead, with Keras's own layers and Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

import gan_core
from experiments.program.experiment import Experiment
from experiments.tools.benchmark.contestants import (
    Contestant,
    Task,
    WaitClock,
    random_images,
    weights_of,
)


def keras_networks(experiment: Experiment) -> tuple[keras.Model, keras.Model]:
    """Both networks with Keras's own layers, in the present dtype policy."""
    networks = (
        experiment.build_generator(experiment.latents.size),
        experiment.build_discriminator(),
    )
    return tuple(_with_keras_layers(network) for network in networks)


def _make_train_on_batch(task: Task) -> Contestant:
    """Keras `train_on_batch` twice a step: the discriminator on fakes and reals together, then
    the generator through the frozen discriminator.
    """
    generator, discriminator = _networks(task)
    weights = weights_of(generator, discriminator)  # before one of them is frozen
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    discriminator.compile(_adam(), loss)
    discriminator.trainable = False
    both = keras.Sequential([generator, discriminator])
    both.compile(_adam(), loss)
    batches = WaitClock(iter(_float_dataset(task, generator)))
    labels = np.repeat([[0.0], [1.0]], task.batch_size, axis=0).astype(np.float32)
    ones = np.ones((task.batch_size, 1), np.float32)
    latents_shape = [task.batch_size, task.load().latents.size]

    def run_steps(num_steps: int) -> float:
        for _ in range(num_steps):
            fakes = generator(tf.random.normal(latents_shape))
            pictures = tf.concat([tf.cast(fakes, tf.float32), next(batches)], 0)
            discriminator.trainable = True
            discriminator.train_on_batch(pictures, labels)
            discriminator.trainable = False
            both.train_on_batch(tf.random.normal(latents_shape), ones)
        return batches.read()

    return Contestant("Keras train_on_batch", run_steps, weights)


class _FitGan(keras.Model):
    """A GAN as Keras's examples write it: `fit` with an overridden `train_step`."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model, latent_size: int):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent_size = latent_size
        self.generator_optimizer = _adam()
        self.discriminator_optimizer = _adam()
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


def _make_fit(task: Task) -> Contestant:
    """Keras `fit` with an overridden `train_step`; a turn is one call, its start included."""
    generator, discriminator = _networks(task)
    gan = _FitGan(generator, discriminator, task.load().latents.size)
    gan.compile()
    dataset = _float_dataset(task, generator)

    def run_steps(num_steps: int) -> None:
        gan.fit(dataset, epochs=1, steps_per_epoch=num_steps, verbose=0)

    return Contestant("Keras fit, train_step", run_steps, weights_of(generator, discriminator))


def tutorial_step(
    generator: keras.Model,
    discriminator: keras.Model,
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    latents_shape: Sequence[int],
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The two-tape `tf.function` of TensorFlow's DCGAN tutorial: real images -> generator's loss.

    Args:
      generator: Latents -> images.
      discriminator: Images -> logits.
      generator_optimizer: The generator's optimizer.
      discriminator_optimizer: The discriminator's optimizer.
      latents_shape: [B, Z].
    """
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def train_step(real_images: tf.Tensor) -> tf.Tensor:
        latents = tf.random.normal(latents_shape)
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
        return generator_loss

    return train_step


def _make_tutorial(task: Task) -> Contestant:
    """The loop of TensorFlow's DCGAN tutorial."""
    generator, discriminator = _networks(task)
    batches = WaitClock(iter(_float_dataset(task, generator)))
    latents_shape = [task.batch_size, task.load().latents.size]
    train_step = tutorial_step(generator, discriminator, _adam(), _adam(), latents_shape)

    def run_steps(num_steps: int) -> float:
        for _ in range(num_steps):
            loss = train_step(next(batches))
        loss.numpy()
        return batches.read()

    return Contestant("TensorFlow tutorial", run_steps, weights_of(generator, discriminator))


MAKERS = {"train_on_batch": _make_train_on_batch, "fit": _make_fit, "tutorial": _make_tutorial}


def _networks(task: Task) -> tuple[keras.Model, keras.Model]:
    keras.config.set_dtype_policy(task.precision)
    return keras_networks(task.load())


def _adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(2e-4, beta_1=0.5)


def _with_keras_layers(network: keras.Sequential) -> keras.Sequential:
    """The same network with Keras's layers where this project has faster ones."""

    def plain(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
        config = layer.get_config()
        if isinstance(layer, gan_core.fast.UpSamplingConv2D):
            yield keras.layers.UpSampling2D(config.pop("upsampling"))
        kinds = (kind for kind in type(layer).__mro__ if kind.__module__.startswith("keras."))
        yield next(kinds).from_config(config)

    layers = [plain_layer for layer in network.layers for plain_layer in plain(layer)]
    return keras.Sequential([keras.Input(network.input_shape[1:]), *layers])


def _float_dataset(task: Task, generator: keras.Model) -> tf.data.Dataset:
    images = random_images(task, generator)
    return float_dataset(images, task.load().value_range, task.batch_size)


def float_dataset(
    images: np.ndarray, value_range: gan_core.data.ValueRange, batch_size: int
) -> tf.data.Dataset:
    """Batches as the tutorial reads them: floats in memory, shuffled.

    Args:
      images: uint8 [N, H, W, C].
      value_range: Values of 0 and 255.
      batch_size: Images per batch.
    """
    low, high = value_range
    scaled = images.astype(np.float32) / 255.0 * (high - low) + low
    dataset = tf.data.Dataset.from_tensor_slices(scaled).shuffle(len(images)).repeat()
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)
