"""Keras layers that compute the same as Keras's own, faster."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

_FUSED_DTYPES = (tf.float32, tf.bfloat16, tf.float16)
_SMALL_MAP = 16
_WIDE_PATCH = 2048


@keras.saving.register_keras_serializable("gan_core")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization (Ioffe & Szegedy 2015) in one kernel where TensorFlow has one.

    Keras 3 spells it out in about twenty operations, in float32. Training on images
    [B, H, W, C] uses `FusedBatchNormV3` instead: float32 statistics, images in the layer's own
    type. Anything else (inference, other ranks or axes, masks, renorm, `synchronized`) goes to
    Keras. Arguments, variables and saved files are those of `keras.layers.BatchNormalization`.
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """[B, H, W, C] -> the same shape, in the layer's compute type."""
        if not (training and mask is None and self._can_be_fused(inputs)):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value if self.scale else tf.ones([channels]),
            offset=self.beta.value if self.center else tf.zeros([channels]),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel gives the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) / channels, tf.float32)
        variance *= (count - 1.0) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _can_be_fused(self, inputs: tf.Tensor) -> bool:
        return (
            self.trainable
            and not self.synchronized
            and not getattr(self, "renorm", False)  # Keras 3.12 has none
            and inputs.shape.rank == 4
            and self.axis in (-1, 3)
            and inputs.dtype in _FUSED_DTYPES
            and self.variable_dtype == "float32"
        )


@keras.saving.register_keras_serializable("gan_core")
class Conv2D(keras.layers.Conv2D):
    """Convolution whose kernel's gradient is one matrix product where that is faster.

    In bfloat16 on CPUs TensorFlow's own kernel for it is slow on small maps: at 4x4 outputs cutting
    the patches and multiplying takes half to three quarters of its time, at 7x7 and 8x8 more than
    all of it. Anything else goes to Keras. Arguments, variables and saved files are those of
    `keras.layers.Conv2D`.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H / stride, W / stride, F], without bias."""
        stride = self.strides[0]
        height, width = inputs.shape[1:3]
        small_map = (-(-height // stride)) * (-(-width // stride))
        if not _is_faster_by_patches(self, inputs, small_map, inputs.shape[-1]):
            return super().convolution_op(inputs, kernel)

        @tf.custom_gradient
        def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                shape = tf.shape(images)
                by_images = tf.nn.conv2d_transpose(upstream, kernel, shape, stride, "SAME")
                return by_images, _kernel_gradient(images, upstream, kernel, stride)

            return tf.nn.conv2d(images, kernel, stride, "SAME"), gradient

        return convolve(inputs, tf.convert_to_tensor(kernel))


@keras.saving.register_keras_serializable("gan_core")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Transposed convolution, with a kernel's gradient as in `Conv2D`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H * stride, W * stride, F]."""
        stride = self.strides[0]
        height, width = inputs.shape[1:3]
        if self.output_padding is not None or not _is_faster_by_patches(
            self, inputs, height * width, self.filters
        ):
            return super().call(inputs)

        @tf.custom_gradient
        def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                by_images = tf.nn.conv2d(upstream, kernel, stride, "SAME")
                return by_images, _kernel_gradient(upstream, images, kernel, stride)

            shape = [tf.shape(images)[0], height * stride, width * stride, self.filters]
            return tf.nn.conv2d_transpose(images, kernel, shape, stride, "SAME"), gradient

        outputs = convolve(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return outputs if self.activation is None else self.activation(outputs)


def _is_faster_by_patches(
    layer: keras.layers.Conv2D | keras.layers.Conv2DTranspose,
    inputs: tf.Tensor,
    small_map: int,
    large_map_channels: int,
) -> bool:
    return (
        inputs.dtype == tf.bfloat16
        and small_map <= _SMALL_MAP
        and large_map_channels * layer.kernel_size[0] * layer.kernel_size[1] >= _WIDE_PATCH
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.strides[0] == layer.strides[1]
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
        and not tf.config.list_physical_devices("GPU")
    )


def _kernel_gradient(
    large_map: tf.Tensor, small_map: tf.Tensor, kernel: tf.Tensor, stride: int
) -> tf.Tensor:
    """The sum over all places of (patch of the large map) x (pixel of the small map)."""
    height, width, channels, filters = kernel.shape
    patches = tf.image.extract_patches(
        large_map, [1, height, width, 1], [1, stride, stride, 1], [1, 1, 1, 1], "SAME"
    )
    patches = tf.reshape(patches, [-1, height * width * channels])
    pixels = tf.reshape(small_map, [-1, filters])
    return tf.reshape(tf.matmul(patches, pixels, transpose_a=True), kernel.shape)


def synchronize_batch_normalization(network: keras.Model) -> None:
    """Has each batch normalization of a network see the global batch, not its replica's part.

    Under a strategy this costs a message between the replicas for each layer and pass. Call it
    before the network is first trained.
    """
    for layer in network._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
