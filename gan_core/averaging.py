"""Exponential moving averages of a network's weights, used for sampling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from gan_core.errors import check_positive
from gan_core.networks import Network, tf_variable
from gan_core.strategies import variable_on_replicas

_RAMP_UP = 0.05


class WeightAverage(tf.Module):
    """Exponential moving average of a network's weights (Yazici et al. 2019).

    The half-life is counted in images, so that it means the same for every batch size, and is at
    most a twentieth of the images so far (Karras et al. 2020, StyleGAN2), so that early weights
    fade soon. Moving statistics of batch normalization are averaged like the weights that they
    belong to. Build it under `strategy.scope()`.

    Args:
      network: Built Keras model, or a module whose variables exist.
      half_life_images: Images after which the share of present weights has halved; above 0.

    Raises:
      ArgumentError: If `half_life_images` is not above 0.
    """

    def __init__(self, network: Network, half_life_images: float):
        super().__init__(name="weight_average")
        check_positive("half_life_images", half_life_images, "leave the average out")
        self._half_life_images = half_life_images
        self._strategy = tf.distribute.get_strategy()
        self._is_keras = isinstance(network, keras.Model)
        self._sources = [v for v in network.variables if tf.as_dtype(v.dtype).is_floating]
        self.values = [
            variable_on_replicas(tf.convert_to_tensor(tf_variable(variable)).numpy(), "average")
            for variable in self._sources
        ]

    def update(self, num_images: int | tf.Tensor, images_seen: tf.Tensor) -> None:
        """Moves the averages towards the present weights; called outside of a replica.

        Args:
          num_images: Images that the weights were updated on since the last call, a number or a
            float scalar; with 0 nothing moves.
          images_seen: Scalar integer, images of the whole run so far.
        """
        half_life = tf.minimum(
            tf.cast(images_seen, keras.config.floatx()) * _RAMP_UP, float(self._half_life_images)
        )
        rate = 1.0 - 0.5 ** (num_images / tf.maximum(half_life, 1e-3))
        for average, source in zip(self.values, self._sources, strict=True):
            self._strategy.extended.update(
                average,
                _move_towards,
                args=(tf_variable(source), rate),
            )

    @contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """Within it, outside of a replica, the network computes with the averages.

        Assignments of a Keras model are discarded. A module's variables hold the averages
        meanwhile, and get their values back.
        """
        averages = [tf.convert_to_tensor(average) for average in self.values]
        if self._is_keras:
            pairs = list(zip(self._sources, averages, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                yield
            return
        weights = [tf.identity(source) for source in self._sources]
        _assign(self._sources, averages)
        try:
            yield
        finally:
            _assign(self._sources, weights)


def _move_towards(average: tf.Variable, value: tf.Tensor, rate: tf.Tensor) -> None:
    """Adds rate * (value - average) to the average.

    The operation of gradient descent passes over memory twice for that, an assignment three times.
    """
    tf.raw_ops.ResourceApplyGradientDescent(
        var=average.handle, alpha=tf.cast(rate, average.dtype), delta=average - value
    )


def _assign(variables: list[tf.Variable], values: list[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
