"""TensorFlow's own operations, and their gradients, are the oracle of the faster ways."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gan_core.fast import convolution

SIZES = [(4, 4), (8, 6), (7, 5), (2, 2), (1, 1)]
KERNELS = [(5, 5), (4, 4), (3, 5), (2, 3)]


def random(*shape, seed=0, dtype=tf.float32):
    return tf.cast(np.random.default_rng(seed).normal(size=shape), dtype)


def assert_close(found, expected, dtype=tf.float32):
    """Equal to rounding, relative to the largest value."""
    found, expected = (tf.cast(x, tf.float32).numpy() for x in (found, expected))
    tolerance = 0.02 if dtype == tf.bfloat16 else 2e-6
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_correlation_by_exchanged_roles_equals_tensorflow(stride, dtype):
    for (height, width), kernel_size in itertools.product(SIZES, KERNELS):
        if min(kernel_size) < stride:
            continue
        # Fine maps that are, and that are not, a multiple of the coarse.
        for fine_size in {(height * stride, width * stride), (height * stride - stride + 1,) * 2}:
            fine = random(6, *fine_size, 5, dtype=dtype)
            coarse_size = [-(-side // stride) for side in fine_size]
            coarse = random(6, *coarse_size, 7, seed=1, dtype=dtype)
            found = convolution._correlate_by_exchanged_roles(fine, coarse, stride, kernel_size)
            # In bfloat16 TensorFlow leaves taps that meet nothing but padding uninitialized.
            expected = tf.raw_ops.Conv2DBackpropFilter(
                input=tf.cast(fine, tf.float32),
                filter_sizes=[*kernel_size, 5, 7],
                out_backprop=tf.cast(coarse, tf.float32),
                strides=[1, stride, stride, 1],
                padding="SAME",
            )
            assert_close(found, expected, dtype)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_taps_that_meet_only_padding_have_no_gradient(side, stride):
    fine, coarse_side = random(4, side, side, 3, dtype=tf.bfloat16), -(-side // stride)
    coarse = random(4, coarse_side, coarse_side, 2, seed=1, dtype=tf.bfloat16)
    for kernel_size in [*KERNELS, (7, 6)]:
        found = convolution.correlate(fine, coarse, stride, kernel_size)
        expected = convolution.correlate(
            tf.cast(fine, tf.float32), tf.cast(coarse, tf.float32), stride, kernel_size
        )
        assert_close(found, expected, tf.bfloat16)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("stride", [2, 3])
def test_a_transpose_by_phases_equals_tensorflow(stride, dtype):
    for (height, width), kernel_size in itertools.product(SIZES, [*KERNELS, (7, 6)]):
        if min(kernel_size) < stride:
            continue
        coarse = random(3, height, width, 6, dtype=dtype)
        kernel = random(*kernel_size, 2, 6, seed=1, dtype=dtype)
        fine_shape = [3, height * stride, width * stride, 2]
        expected = tf.nn.conv2d_transpose(coarse, kernel, fine_shape, stride, "SAME")
        assert_close(convolution._transpose_by_phases(coarse, kernel, stride), expected, dtype)


def derivatives(function, *arguments):
    """The value, its first derivatives, and second derivatives of a function of those."""
    with tf.GradientTape() as outer:
        outer.watch(arguments)
        with tf.GradientTape() as inner:
            inner.watch(arguments)
            value = function(*arguments)
            score = tf.reduce_sum(tf.sin(value))
        first = inner.gradient(score, arguments)
        penalty = tf.add_n([tf.reduce_sum(gradient**2) for gradient in first])
    return [value, *first, *outer.gradient(penalty, arguments)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-12)])
@pytest.mark.parametrize("faster", [True, False], ids=["faster", "plain"])
@pytest.mark.parametrize("fine_size", [(8, 8), (7, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_all_derivatives_equal_tensorflow(monkeypatch, stride, fine_size, faster, dtype, tolerance):
    whole = fine_size == (8, 8) and stride == 2
    monkeypatch.setattr(convolution, "_exchanged_roles_are_faster", lambda *_: faster)
    monkeypatch.setattr(convolution, "_phases_are_faster", lambda *_: faster and whole)
    coarse_size = [-(-side // stride) for side in fine_size]
    fine, kernel = random(4, *fine_size, 3, dtype=dtype), random(5, 5, 3, 6, seed=1, dtype=dtype)
    coarse = random(4, *coarse_size, 6, seed=2, dtype=dtype)

    pairs = [
        (
            lambda a, b: convolution.convolve(a, b, stride),
            lambda a, b: tf.nn.conv2d(a, b, stride, "SAME"),
            (fine, kernel),
        ),
        (
            lambda a, b: convolution.transpose(a, b, stride, fine_size),
            lambda a, b: tf.nn.conv2d_transpose(a, b, fine.shape, stride, "SAME"),
            (coarse, kernel),
        ),
        (
            lambda a, b: convolution.correlate(a, b, stride, (5, 5)),
            lambda a, b: tf.raw_ops.Conv2DBackpropFilter(
                input=a,
                filter_sizes=kernel.shape,
                out_backprop=b,
                strides=[1, stride, stride, 1],
                padding="SAME",
            ),
            (fine, coarse),
        ),
    ]
    for ours, tensorflows, arguments in pairs:
        for found, expected in zip(
            derivatives(ours, *arguments), derivatives(tensorflows, *arguments), strict=True
        ):
            assert found.dtype == dtype
            largest = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize("upsampling", [2, 3, 4, 5])
@pytest.mark.parametrize("kernel_size", [(5, 5), (3, 3), (4, 2), (1, 6), (9, 7)])
@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1)])
def test_a_convolution_of_upsampled_images_equals_tensorflow(size, kernel_size, upsampling):
    images, kernel = random(3, *size, 4), random(*kernel_size, 4, 6, seed=1)

    def plain(images, kernel):
        upsampled = tf.repeat(tf.repeat(images, upsampling, axis=1), upsampling, axis=2)
        return tf.nn.conv2d(upsampled, kernel, 1, "SAME")

    def ours(images, kernel):
        return convolution.convolve_upsampled(images, kernel, upsampling)

    for found, expected in zip(
        derivatives(ours, images, kernel),
        derivatives(plain, images, kernel),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("image_size", "kernel_size", "upsampling", "takes_fewer"),
    [
        ((8, 8), (5, 5), 2, True),  # 3x3 pixels of 8x8
        ((8, 8), (4, 4), 2, True),
        ((8, 8), (3, 3), 2, True),  # 2x2 pixels of 9x9
        ((8, 8), (1, 6), 2, True),
        ((1, 1), (3, 3), 2, False),  # 2x2 pixels of 2x2
        ((8, 8), (2, 2), 4, False),
        ((8, 8), (5, 5), 1, False),
    ],
)
def test_when_convolving_before_upsampling_takes_fewer_products(
    image_size, kernel_size, upsampling, takes_fewer
):
    found = convolution.upsampled_takes_fewer_products(image_size, kernel_size, upsampling)
    assert found == takes_fewer
