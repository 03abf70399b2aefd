"""The arithmetic of a training step (counted), and the speed of matrix products (measured)."""

from __future__ import annotations

import math
import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers

CEILING_SIZE = 4096
_KERNEL_LAYERS = (layers.Dense, layers.Conv2D, layers.Conv2DTranspose)


def step_flops(generator: keras.Model, discriminator: keras.Model, batch_size: int) -> int:
    """Floating-point operations of one update of both networks from one shared pass.

    Counted are the products and sums of dense layers and convolutions, 2 a weight and use:
    forward, gradient by the weights, gradient by the inputs. The discriminator sees real and fake
    images, and passes the generator's gradient through once more; first layers need no gradient by
    their inputs, but for that. Padding counts as if it were computed.
    """
    generator_layers = _products(generator)
    discriminator_layers = _products(discriminator)
    total = sum(3 * products for products in generator_layers) - generator_layers[0]
    total += sum(7 * products for products in discriminator_layers) - 2 * discriminator_layers[0]
    return 2 * total * batch_size


def measure_ceiling(precision: str) -> float:
    """FLOP/s of a large matrix product in a policy's compute type; the best of several."""
    dtype = tf.bfloat16 if "bfloat16" in precision else tf.float32
    matrix = tf.cast(tf.random.normal([CEILING_SIZE, CEILING_SIZE]), dtype)
    multiply = tf.function(lambda: tf.reduce_sum(tf.cast(matrix @ matrix, tf.float32)))
    multiply()
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        multiply().numpy()
        best = min(best, time.perf_counter() - start)
    return 2.0 * CEILING_SIZE**3 / best


def gradient_bytes(*networks: keras.Model) -> int:
    """Bytes of the gradients of all trainable variables, in float32."""
    return sum(4 * int(np.prod(v.shape)) for n in networks for v in n.trainable_variables)


def _products(network: keras.Model) -> list[int]:
    """Multiplications of one example's forward pass, for each layer with a kernel."""
    found = []
    for layer in network.layers:
        if isinstance(layer, _KERNEL_LAYERS):
            uses = 1
            if isinstance(layer, layers.Conv2DTranspose):
                uses = int(np.prod(layer.input.shape[1:3]))
            elif isinstance(layer, layers.Conv2D):
                uses = int(np.prod(layer.output.shape[1:3]))
            found.append(uses * int(np.prod(layer.kernel.shape)))
    return found
