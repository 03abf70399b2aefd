"""Drop-in replacements of Keras layers that are faster on CPUs."""

from __future__ import annotations

import numbers

import keras
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.fast import convolution
from gan_core.internals import all_layers

_FUSED_DTYPES = (tf.float32, tf.bfloat16, tf.float16)


@keras.saving.register_keras_serializable("gan_core")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization (Ioffe & Szegedy 2015) in one fused kernel if TensorFlow has one.

    Keras 3 computes it by about twenty operations in float32. Training on images [B, H, W, C] uses
    `FusedBatchNormV3` instead: statistics in float32, images in the layer's compute type. All other
    cases (inference, other ranks or axes, masks, renorm, `synchronized`) are left to Keras.
    Arguments, variables and saved files are those of `keras.layers.BatchNormalization`.
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
        # The kernel returns the unbiased variance; Keras tracks the biased one.
        count = tf.cast(tf.size(inputs) / channels, tf.float32)
        variance *= (count - 1.0) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _can_be_fused(self, inputs: tf.Tensor) -> bool:
        return (
            self.trainable
            and not self.synchronized
            and not getattr(self, "renorm", False)  # missing in Keras 3.12
            and inputs.shape.rank == 4
            and self.axis in (-1, 3)
            and inputs.dtype in _FUSED_DTYPES
            and self.variable_dtype == "float32"
        )


@keras.saving.register_keras_serializable("gan_core")
class Conv2D(keras.layers.Conv2D):
    """Convolution by `gan_core.fast.convolution`, with faster gradients on x86 CPUs.

    It applies to images [B, H, W, C] of known size with "same" padding and equal strides. All other
    cases, GPUs and other processors are left to Keras. Arguments, variables and saved files are
    those of `keras.layers.Conv2D`.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H / stride, W / stride, F], without bias."""
        if not _is_plain(self, inputs):
            return super().convolution_op(inputs, kernel)
        return convolution.convolve(inputs, tf.convert_to_tensor(kernel), self.strides[0])


@keras.saving.register_keras_serializable("gan_core")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Transposed convolution by `gan_core.fast.convolution`, faster on x86 CPUs; see `Conv2D`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H * stride, W * stride, F]."""
        if self.output_padding is not None or not _is_plain(self, inputs):
            return super().call(inputs)
        stride = self.strides[0]
        size = tuple(side * stride for side in inputs.shape[1:3])
        kernel = tf.convert_to_tensor(self.kernel)
        outputs = convolution.transpose(inputs, kernel, stride, size)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("gan_core")
class UpSamplingConv2D(Conv2D):
    """`UpSampling2D` and a "same" `Conv2D` in one: 36% of the products at 5x5 and a factor of 2.

    See `convolution.convolve_upsampled`. It upsamples and then convolves as `Conv2D` if that would
    leave the convolution to Keras, or if there is no saving (kernels up to 2x2, a factor of 1).
    Variables and other arguments are those of `keras.layers.Conv2D`; strides are 1.

    Args:
      filters: Number of output channels.
      kernel_size: Size of the convolution kernel.
      upsampling: Upsampling factor of both sides, 1 or more.

    Raises:
      ArgumentError: If `upsampling` is not a whole number above 0; if `strides`, `padding`,
        `dilation_rate`, `groups` or `data_format` is not 1, "same", 1, 1 or "channels_last",
        respectively.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        upsampling: int = 2,
        **arguments: object,
    ):
        is_whole = isinstance(upsampling, numbers.Integral) and not isinstance(upsampling, bool)
        if not is_whole or upsampling < 1:
            rule = "must be a whole number of 1 or more"
            raise ArgumentError("upsampling", upsampling, rule, "give 2 to double both sides")
        usual = {"padding": "same", "data_format": "channels_last"}
        super().__init__(filters, kernel_size, **usual | arguments)
        fixed = {"strides": (1, 1), "dilation_rate": (1, 1), "groups": 1}
        for name, value in (usual | fixed).items():
            if getattr(self, name) != value:
                raise ArgumentError(name, getattr(self, name), f"must be {value}", "leave it out")
        self.upsampling = int(upsampling)

    def get_config(self) -> dict[str, object]:
        """The arguments of the layer, as Keras saves them."""
        return {**super().get_config(), "upsampling": self.upsampling}

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, int | None, int | None, int]:
        """[B, H, W, C] -> [B, sH, sW, F], where s is `upsampling`."""
        batch, *sides, _ = input_shape
        height, width = (side and self.upsampling * side for side in sides)
        return batch, height, width, self.filters

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, sH, sW, F], without bias."""
        if _is_plain(self, inputs) and convolution.upsampled_takes_fewer_products(
            inputs.shape[1:3], self.kernel_size, self.upsampling
        ):
            kernel = tf.convert_to_tensor(kernel)
            return convolution.convolve_upsampled(inputs, kernel, self.upsampling)
        rows = tf.repeat(inputs, self.upsampling, axis=1)
        return super().convolution_op(tf.repeat(rows, self.upsampling, axis=2), kernel)


def _is_plain(layer: keras.layers.Conv2D | keras.layers.Conv2DTranspose, inputs: tf.Tensor) -> bool:
    return (
        convolution.has_faster_ways()
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.strides[0] == layer.strides[1]
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
        and None not in inputs.shape[1:3]
    )


def synchronize_batch_normalization(network: keras.Model) -> None:
    """Makes the batch normalizations of a network use statistics of the global batch.

    Otherwise each replica uses those of its part. Under a strategy this costs a message between the
    replicas per layer and pass. Call it before training starts.
    """
    for layer in all_layers(network, include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
