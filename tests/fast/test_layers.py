import keras
import numpy as np
import pytest
import tensorflow as tf

import gan_core
from gan_core.fast import convolution
from gan_core.fast.layers import BatchNormalization


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
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, tf.float64)))
    gradients = tape.gradient(loss, [inputs, *(v.value for v in layer.trainable_variables)])
    return [tf.cast(x, tf.float64).numpy() for x in (outputs, *gradients)] + layer.get_weights()


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
    """As gradient penalties need it: the derivative of a gradient's norm by the weights."""
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


@pytest.mark.parametrize(("shape", "policy"), [((5,), "float32"), ((4, 4, 3), "float64")])
def test_what_is_not_fused_goes_to_keras(shape, policy):
    inputs = np.random.default_rng(0).normal(size=(6, *shape)).astype(policy)
    expected, found = (run(layer, inputs) for layer in pair(shape, policy))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_saves_and_loads_as_a_keras_layer(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 2)), BatchNormalization(momentum=0.7)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[0], BatchNormalization)
    assert loaded.layers[0].momentum == 0.7


def convolutions(kind, policy="mixed_bfloat16", **arguments):
    """Keras's layer and ours, with the same weights."""
    made = []
    for module in (keras.layers, gan_core.fast):
        layer = getattr(module, kind)(96, 5, padding="same", dtype=policy, **arguments)
        layer.build((None, 8, 8, 96))
        rng = np.random.default_rng(1)
        layer.set_weights([rng.normal(0, 0.05, weight.shape) for weight in layer.get_weights()])
        made.append(layer)
    return made


def outputs_and_gradients(layer, inputs, upstream):
    """Outputs, and gradients by inputs and weights, of the outputs' product with `upstream`."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    variables = [inputs, *(v.value for v in layer.trainable_variables)]
    gradients = tape.gradient(outputs, variables, output_gradients=upstream)
    return [tf.cast(x, tf.float64).numpy() for x in (outputs, *gradients)]


def assert_as_exact(found, expected, exact, tolerance):
    """Each number is near to Keras's, or else near to what Keras computes in float32.

    Where a processor has no bfloat16, Keras's own gradients are off by a few hundredths.
    """
    of_exact, of_keras = (
        np.abs(found - wanted) <= tolerance * (np.abs(wanted) + np.abs(wanted).max())
        for wanted in (exact, expected)
    )
    assert np.all(of_exact | of_keras)


def operations_of_gradient(layer, size):
    """The types of what TensorFlow computes for the gradients of a layer."""

    @tf.function
    def gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.reduce_sum(layer(inputs))
        return tape.gradient(outputs, [inputs, layer.kernel.value])

    inputs = tf.zeros([2, size, size, 96], layer.compute_dtype)
    return {o.type for o in gradient.get_concrete_function(inputs).graph.get_operations()}


@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose"])
@pytest.mark.parametrize("size", [4, 5, 8])
@pytest.mark.parametrize(
    "arguments", [{"strides": 2}, {"strides": 1, "activation": "tanh"}, {"use_bias": False}]
)
def test_convolutions_are_as_exact_in_bfloat16_as_keras(kind, size, arguments):
    inputs = tf.cast(np.random.default_rng(0).normal(size=(6, size, size, 96)), tf.bfloat16)
    layers = convolutions(kind, **arguments)
    in_float32 = convolutions(kind, "float32", **arguments)[0]
    upstream = np.random.default_rng(2).normal(size=layers[0](inputs).shape)
    upstream = tf.cast(upstream, tf.bfloat16)
    expected, found = (outputs_and_gradients(layer, inputs, upstream) for layer in layers)
    exact = outputs_and_gradients(
        in_float32, tf.cast(inputs, tf.float32), tf.cast(upstream, tf.float32)
    )
    for each in zip(found, expected, exact, strict=True):
        assert_as_exact(*each, tolerance=0.02)


@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose"])
def test_convolutions_leave_tensorflows_gradient_only_where_they_are_faster(kind, monkeypatch):
    if not convolution.has_faster_ways():
        pytest.skip("measured on x86 without a GPU only")
    size = {"Conv2D": 8, "Conv2DTranspose": 4}[kind]
    slow = "Conv2DBackpropFilter"
    keras_layer, layer = convolutions(kind, strides=2)

    assert slow not in operations_of_gradient(layer, size)
    assert slow in operations_of_gradient(layer, 8 * size)
    assert slow in operations_of_gradient(convolutions(kind, "float32", strides=2)[1], size)
    assert slow in operations_of_gradient(keras_layer, size)
    monkeypatch.setattr(convolution, "has_faster_ways", lambda: False)
    assert slow in operations_of_gradient(layer, size)


@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose"])
def test_second_derivatives_of_convolutions_equal_keras(kind):
    size = {"Conv2D": 8, "Conv2DTranspose": 4}[kind]
    inputs = tf.cast(np.random.default_rng(0).normal(size=(6, size, size, 96)), tf.bfloat16)
    results = []
    for layer in convolutions(kind, strides=2):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                score = tf.reduce_sum(tf.sin(tf.cast(layer(inputs), tf.float32)))
            penalty = tf.reduce_sum(tf.cast(inner.gradient(score, inputs), tf.float32) ** 2)
        results.append(outer.gradient(penalty, layer.kernel.value).numpy())
    np.testing.assert_allclose(*results, rtol=0.05, atol=0.03 * np.abs(results[0]).max())


def test_convolutions_save_and_load_as_keras_layers(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            gan_core.fast.Conv2D(4, 5, 2, "same"),
            gan_core.fast.Conv2DTranspose(3, 5, 2),
        ]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float64", 1e-13), ("float32", 1e-5), ("mixed_bfloat16", 0.02)]
)
@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("upsampling", [1, 2, 4])
def test_upsampling_and_convolution_in_one_equal_keras(
    policy, tolerance, faster, upsampling, monkeypatch, tmp_path
):
    monkeypatch.setattr(convolution, "has_faster_ways", lambda: faster)
    ours = keras.Sequential(
        [
            keras.Input((4, 6, 3)),
            gan_core.fast.UpSamplingConv2D(
                5, 5, upsampling=upsampling, activation="tanh", dtype=policy
            ),
        ]
    )
    kerass, exact = (
        keras.Sequential(
            [
                keras.Input((4, 6, 3)),
                keras.layers.UpSampling2D(upsampling, dtype=dtype),
                keras.layers.Conv2D(5, 5, padding="same", activation="tanh", dtype=dtype),
            ]
        )
        for dtype in (policy, policy.replace("mixed_bfloat16", "float32"))
    )
    rng = np.random.default_rng(1)
    kerass.set_weights([rng.normal(0, 0.1, w.shape) for w in ours.get_weights()])
    ours.set_weights(kerass.get_weights())
    exact.set_weights(kerass.get_weights())
    size = (4 * upsampling, 6 * upsampling)
    assert ours.output_shape == kerass.output_shape == (None, *size, 5)
    ours.save(tmp_path / "model.keras")
    ours = keras.models.load_model(tmp_path / "model.keras")

    inputs = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    calls = []
    convolve_upsampled = convolution.convolve_upsampled
    monkeypatch.setattr(
        convolution,
        "convolve_upsampled",
        lambda *arguments: calls.append(arguments) or convolve_upsampled(*arguments),
    )
    for each in zip(*(run(network, inputs) for network in (ours, kerass, exact)), strict=True):
        assert_as_exact(*each, tolerance)
    assert bool(calls) == (faster and upsampling > 1)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_upsampling_and_convolution_in_a_graph_of_any_batch_equal_eager(jit_compile, monkeypatch):
    monkeypatch.setattr(convolution, "has_faster_ways", lambda: True)
    layer = gan_core.fast.UpSamplingConv2D(5, 5, upsampling=np.int64(4))

    def penalty_and_gradient(images):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(images)
                score = tf.reduce_sum(tf.sin(layer(images)))
            penalty = tf.reduce_sum(inner.gradient(score, images) ** 2)
        return penalty, outer.gradient(penalty, layer.kernel.value)

    images = tf.random.stateless_normal((2, 4, 6, 3), [0, 0])
    eager = penalty_and_gradient(images)
    any_batch = None if not jit_compile else 2  # XLA compiles each size anew
    in_graph = tf.function(
        penalty_and_gradient,
        input_signature=[tf.TensorSpec((any_batch, 4, 6, 3))],
        jit_compile=jit_compile,
    )
    for found, expected in zip(in_graph(images), eager, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("strides", 2),
        ("padding", "valid"),
        ("upsampling", 0),
        ("upsampling", 1.5),
        ("upsampling", True),
    ],
)
def test_upsampling_refuses_what_it_cannot_do(argument, value):
    with pytest.raises(gan_core.ArgumentError, match=argument):
        gan_core.fast.UpSamplingConv2D(5, 5, **{argument: value})
