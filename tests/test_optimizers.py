import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_core.optimizers import Adam


def variables():
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (5,), ()]
    return [keras.Variable(np.asarray(rng.normal(size=s), np.float32)) for s in shapes]


@pytest.mark.parametrize(
    "arguments", [{}, {"beta_1": 0.5}, {"epsilon": 1e-3}, {"amsgrad": True}, {"weight_decay": 0.1}]
)
def test_equals_keras_over_many_steps(arguments):
    results = []
    for kind in (keras.optimizers.Adam, Adam):
        optimizer, weights = kind(0.01, **arguments), variables()
        optimizer.build(weights)
        rng = np.random.default_rng(1)
        for _ in range(50):
            gradients = [tf.constant(rng.normal(size=w.shape), tf.float32) for w in weights]
            optimizer.apply(gradients, weights)
        results.append([w.numpy() for w in weights] + [v.numpy() for v in optimizer.variables])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("float64")
def test_equals_the_formula_in_float64():
    """Keras's own rounds its betas to float32 here."""
    rng = np.random.default_rng(0)
    weights = keras.Variable(rng.normal(size=5))
    optimizer = Adam(0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    optimizer.build([weights])
    expected, mean, square = weights.numpy(), np.zeros(5), np.zeros(5)
    for step in range(1, 51):
        gradient = rng.normal(size=5)
        optimizer.apply([tf.constant(gradient)], [weights])
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        expected -= rate * mean / (np.sqrt(square) + 1e-7)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-13)


def test_sparse_gradients_equal_keras():
    results = []
    for kind in (keras.optimizers.Adam, Adam):
        table = keras.Variable(np.ones((4, 2), np.float32))
        gradient = tf.IndexedSlices(tf.ones([2, 2]), tf.constant([0, 2]), tf.constant([4, 2]))
        optimizer = kind(0.1)
        optimizer.build([table])
        optimizer.apply([gradient], [table])
        results.append(table.numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


def test_is_saved_as_a_keras_optimizer():
    config = keras.saving.serialize_keras_object(Adam(0.3, beta_1=0.5))
    loaded = keras.saving.deserialize_keras_object(config)
    assert isinstance(loaded, Adam)
    assert loaded.beta_1 == 0.5
