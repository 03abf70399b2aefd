import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_core.layers import BatchNormalization


def pair(shape, policy="float32", **kwargs):
    """Keras's layer and ours, with the same weights, none of them at its neutral start."""
    made = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(dtype=policy, **kwargs)
        layer.build((None, *shape))
        rng = np.random.default_rng(1)
        layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        made.append(layer)
    return made


def run(layer, inputs, training=True):
    """Outputs, gradients by inputs and weights, and the weights after the pass."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, tf.float32)))
    gradients = tape.gradient(loss, [inputs, *(v.value for v in layer.trainable_variables)])
    return [tf.cast(x, tf.float32).numpy() for x in (outputs, *gradients)] + layer.get_weights()


@pytest.mark.parametrize("shape", [(4, 4, 8), (7, 5, 3), (1, 1, 2)])
@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False, "momentum": 0.5}])
@pytest.mark.parametrize("training", [True, False])
def test_equals_keras_forward_and_backward(shape, arguments, training):
    inputs = np.random.default_rng(0).normal(1.0, 2.0, (6, *shape)).astype(np.float32)
    expected, found = (run(layer, inputs, training) for layer in pair(shape, **arguments))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_equals_keras_to_the_rounding_of_bfloat16():
    inputs = np.random.default_rng(0).normal(1.0, 2.0, (16, 4, 4, 8))
    inputs = tf.cast(inputs, tf.bfloat16)
    expected, found = (run(layer, inputs) for layer in pair((4, 4, 8), "mixed_bfloat16"))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02 * np.abs(a).max())


def test_second_derivatives_equal_keras():
    """What gradient penalties need: the derivative of a gradient's norm by the weights."""
    inputs = tf.constant(np.random.default_rng(0).normal(size=(6, 4, 4, 3)), tf.float32)
    results = []
    for layer in pair((4, 4, 3)):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                score = tf.reduce_sum(tf.sin(layer(inputs, training=True)))
            penalty = tf.reduce_sum(inner.gradient(score, inputs) ** 2)
        results.append(outer.gradient(penalty, [v.value for v in layer.trainable_variables]))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3)


def test_what_is_not_fused_goes_to_keras():
    inputs = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    expected, found = (run(layer, inputs) for layer in pair((5,)))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_saves_and_loads_as_a_keras_layer(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 2)), BatchNormalization(momentum=0.7)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[0], BatchNormalization)
    assert loaded.layers[0].momentum == 0.7
