"""Strided convolution, its transpose and its kernel gradient, by the fastest of equal methods.

A convolution takes a fine map [B, H, W, C] and a kernel [K, L, C, F] to a coarse map [B, h, w, F],
h = ceil(H / stride), with TensorFlow's SAME padding. Its transpose takes coarse to fine, and the
gradient of its kernel takes fine and coarse to kernel. Each is linear in both of its arguments, and
its derivatives are the other two:

| of | by its first argument | by its second |
| --- | --- | --- |
| convolve(fine, kernel) | transpose(., kernel) | correlate(fine, .) |
| transpose(coarse, kernel) | convolve(., kernel) | correlate(., coarse) |
| correlate(fine, coarse) | transpose(coarse, .) | convolve(fine, .) |

So derivatives of all orders, which gradient penalties need, are as fast as the first.
The fastest method was measured with oneDNN on x86 with AVX-512 BF16, 2 cores; the result is used
on all x86 processors. In float32, exchanged roles and phases are also faster with oneDNN on AVX2.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

_FEW_CHANNELS = 4
_Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
_Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def has_faster_ways() -> bool:
    """True on the kind of machine that the methods were measured on: x86 without a GPU."""
    return platform.machine() in ("x86_64", "AMD64") and not tf.config.list_physical_devices("GPU")


def convolve(fine: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """The coarse map: [B, H, W, C], [K, L, C, F] -> [B, ceil(H / stride), ceil(W / stride), F]."""
    fine_size, kernel_size = fine.shape[1:3], kernel.shape[:2]
    return _bilinear(
        lambda fine, kernel: tf.nn.conv2d(fine, kernel, stride, "SAME"),
        fine,
        kernel,
        by_first=lambda upstream, kernel: transpose(upstream, kernel, stride, fine_size),
        by_second=lambda upstream, fine: correlate(fine, upstream, stride, kernel_size),
    )


def transpose(
    coarse: tf.Tensor, kernel: tf.Tensor, stride: int, fine_size: tuple[int, int]
) -> tf.Tensor:
    """The fine map: [B, h, w, F], [K, L, C, F] -> [B, *fine_size, C]."""

    def run(coarse: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if _phases_are_faster(coarse, kernel, stride, fine_size):
            return _transpose_by_phases(coarse, kernel, stride)
        shape = [tf.shape(coarse)[0], *fine_size, kernel.shape[2]]
        return tf.nn.conv2d_transpose(coarse, kernel, shape, stride, "SAME")

    kernel_size = kernel.shape[:2]
    return _bilinear(
        run,
        coarse,
        kernel,
        by_first=lambda upstream, kernel: convolve(upstream, kernel, stride),
        by_second=lambda upstream, coarse: correlate(upstream, coarse, stride, kernel_size),
    )


def correlate(
    fine: tf.Tensor, coarse: tf.Tensor, stride: int, kernel_size: tuple[int, int]
) -> tf.Tensor:
    """The kernel: [B, H, W, C], [B, h, w, F] -> [*kernel_size, C, F], summed over the batch."""

    def run(fine: tf.Tensor, coarse: tf.Tensor) -> tf.Tensor:
        if _exchanged_roles_are_faster(fine, coarse, stride, kernel_size):
            return _correlate_by_exchanged_roles(fine, coarse, stride, kernel_size)
        return tf.raw_ops.Conv2DBackpropFilter(
            input=fine,
            filter_sizes=[*kernel_size, fine.shape[3], coarse.shape[3]],
            out_backprop=coarse,
            strides=[1, stride, stride, 1],
            padding="SAME",
        )

    fine_size = fine.shape[1:3]
    return _bilinear(
        run,
        fine,
        coarse,
        by_first=lambda upstream, coarse: transpose(coarse, upstream, stride, fine_size),
        by_second=lambda upstream, fine: convolve(fine, upstream, stride),
    )


def _bilinear(
    function: _Operation,
    first: tf.Tensor,
    second: tf.Tensor,
    *,
    by_first: _Operation,
    by_second: _Operation,
) -> tf.Tensor:
    """function(first, second), linear in each; derivatives take upstream and the other argument."""

    @tf.custom_gradient
    def run(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, _Gradient]:
        result = function(first, second)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            upstream = tf.ensure_shape(upstream, result.shape)
            return by_first(upstream, second), by_second(upstream, first)

        return result, gradient

    return run(first, second)


def convolve_upsampled(images: tf.Tensor, kernel: tf.Tensor, upsampling: int) -> tf.Tensor:
    """SAME convolution of images upsampled by repetition: [B, H, W, C] -> [B, sH, sW, F].

    Repeated pixels are multiplied by sums of taps: each block of s x s results is a pixel, with
    s^2 F channels, of one convolution of the original images by a smaller kernel. For s = 2 a 5x5
    kernel becomes a 3x3 kernel, with 36 products per pixel instead of 100; for s = 4, a 2x2 kernel,
    with 64 instead of 400.

    The kernel is [K, L, C, F]; its taps are summed in float32 or wider, and rounded once.
    `upsampling` is s, 2 or more.
    """
    height, width = images.shape[1:3]
    num_taps, (channels, filters) = kernel.shape[0] * kernel.shape[1], kernel.shape[2:]
    wide = kernel.dtype if kernel.dtype.size > 2 else tf.float32
    rows, columns = (_blocks(size, upsampling) for size in kernel.shape[:2])
    meets = np.einsum("adt,beu->deabtu", rows.meets, columns.meets)
    num_places, block_area = meets.shape[:2], upsampling**2
    sums = tf.constant(meets.reshape(-1, num_taps), wide)
    kernels = sums @ tf.reshape(tf.cast(kernel, wide), [num_taps, channels * filters])
    kernels = tf.cast(kernels, images.dtype)
    kernels = tf.reshape(kernels, [*num_places, block_area, channels, filters])
    kernels = tf.transpose(kernels, [0, 1, 3, 2, 4])
    kernels = tf.reshape(kernels, [*num_places, channels, block_area * filters])

    if rows.num_cut or columns.num_cut:
        images = tf.pad(images, [[0, 0], rows.padding, columns.padding, [0, 0]])
    results = tf.nn.depth_to_space(convolve(images, kernels, 1), upsampling)
    corner, size = (rows.num_cut, columns.num_cut), (upsampling * height, upsampling * width)
    return _cut_out(results, corner, size) if any(corner) else results


def upsampled_takes_fewer_products(
    image_size: tuple[int, int], kernel_size: tuple[int, int], upsampling: int
) -> bool:
    """True if `convolve_upsampled` has fewer products than upsampling followed by convolution."""
    ours, plain = 1, 1
    for side, size in zip(image_size, kernel_size, strict=True):
        blocks = _blocks(size, upsampling)
        ours *= blocks.meets.shape[1] * (side + sum(blocks.padding))
        plain *= size * side
    return ours < plain


class _Blocks(NamedTuple):
    """Blocks of results along one side, one block per pixel of the convolution's output.

    Attributes:
      meets: [result in block, pixel, tap], 1 if the tap is multiplied by the pixel; pixels from the
        first to the last that a block depends on.
      num_cut: Number of results of the first block that lie before the image.
      padding: Zeros before and after the image with which a SAME convolution yields all blocks.
    """

    meets: np.ndarray
    num_cut: int
    padding: tuple[int, int]


def _blocks(size: int, upsampling: int) -> _Blocks:
    """The cheapest blocks of `upsampling` results each, for a kernel of `size` taps."""
    aligned = _blocks_from(0, size, upsampling)
    # If the first tap of a block is aligned with the first repetition of a pixel, the block depends
    # on the fewest pixels, but there is one more block.
    before = (size - 1) // 2
    shifted = _blocks_from(-before % upsampling, size, upsampling)
    saves = shifted.meets.shape[1] < aligned.meets.shape[1]
    return shifted if saves or any(aligned.padding) else aligned


def _blocks_from(num_cut: int, size: int, upsampling: int) -> _Blocks:
    results, taps = np.arange(upsampling)[:, None] - num_cut, np.arange(size) - (size - 1) // 2
    met = (results + taps) // upsampling
    first, num_pixels = int(met.min()), int(met.max() - met.min()) + 1
    meets = met[:, None, :] == first + np.arange(num_pixels)[:, None]
    pad_before = -first - (num_pixels - 1) // 2
    return _Blocks(meets, num_cut, (pad_before, int(num_cut > 0) - pad_before))


def _cut_out(images: tf.Tensor, corner: tuple[int, int], size: tuple[int, int]) -> tf.Tensor:
    """The part [B, *size, C] of images [B, H, W, C] with the given upper left corner.

    The gradient is a single padding. The gradient of an index expression is several times slower,
    and that of `tf.slice` cannot itself be differentiated under XLA.
    """
    around = [
        [start, whole - start - side]
        for start, whole, side in zip(corner, images.shape[1:3], size, strict=True)
    ]

    @tf.custom_gradient
    def run(images: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        part = tf.slice(images, [0, *corner, 0], [-1, *size, -1])
        return part, lambda upstream: tf.pad(upstream, [[0, 0], *around, [0, 0]])

    return run(images)


def _phases_are_faster(
    coarse: tf.Tensor, kernel: tf.Tensor, stride: int, fine_size: tuple[int, int]
) -> bool:
    """Phases are 1.2 to 2.3 times as fast for 1 or 3 channels, equal at 8 and slower at 16."""
    whole = all(fine == stride * h for fine, h in zip(fine_size, coarse.shape[1:3], strict=True))
    wide = min(kernel.shape[:2]) >= stride
    return stride > 1 and whole and wide and kernel.shape[2] <= _FEW_CHANNELS


def _transpose_by_phases(coarse: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """All stride^2 phases of the fine map as channels of one convolution (Shi et al. 2016).

    TensorFlow's kernel is slow for few output channels; this has stride^2 times as many.
    """
    channels, filters = kernel.shape[2:]
    counts, kernel_padding, map_padding = [], [], []
    for size in kernel.shape[:2]:
        # Coarse position i and tap t contribute to fine position stride * i + t - offset.
        offset = (size - stride) // 2
        first, last = -((stride - 1 + offset) // stride), (size - 1 - offset) // stride
        count = last - first + 1
        before = -offset - stride * first
        counts.append(count)
        kernel_padding.append([before, stride * count - size - before])
        map_padding.append([last, -first])
    kernel = tf.pad(kernel, [*kernel_padding, [0, 0], [0, 0]])
    kernel = tf.reshape(kernel, [counts[0], stride, counts[1], stride, channels, filters])
    kernel = tf.transpose(tf.reverse(kernel, [0, 2]), [0, 2, 5, 1, 3, 4])
    kernel = tf.reshape(kernel, [*counts, filters, stride * stride * channels])
    phases = tf.nn.conv2d(coarse, kernel, 1, [[0, 0], *map_padding, [0, 0]])
    return tf.nn.depth_to_space(phases, stride)


def _exchanged_roles_are_faster(
    fine: tf.Tensor, coarse: tf.Tensor, stride: int, kernel_size: tuple[int, int]
) -> bool:
    """Exchanged roles are faster on small maps with many channels.

    In bfloat16 they are 1.0 to 4.9 times as fast on maps up to 8x8; in float32, with a stride, 1.0
    to 1.5 times up to 4x4. They are slower on larger maps and with few channels.
    """
    area = coarse.shape[1] * coarse.shape[2]
    channels = min(fine.shape[3], coarse.shape[3])
    if min(kernel_size) < stride:
        return False
    if fine.dtype == tf.bfloat16:
        # TensorFlow leaves taps that only cover padding uninitialized.
        tiny = any(2 * s <= k for s, k in zip(fine.shape[1:3], kernel_size, strict=True))
        return tiny or (area <= 64 and channels >= 64)
    return fine.dtype == tf.float32 and area <= 16 and channels >= 128 and stride > 1


def _correlate_by_exchanged_roles(
    fine: tf.Tensor, coarse: tf.Tensor, stride: int, kernel_size: tuple[int, int]
) -> tf.Tensor:
    """The kernel gradient as one convolution with exchanged roles.

    The channels of the fine map are the batch, the batch is the channels, and the coarse map,
    dilated by the stride, is the kernel.
    """
    padding = []
    for size, fine_side, coarse_side in zip(
        kernel_size, fine.shape[1:3], coarse.shape[1:3], strict=True
    ):
        total = max((coarse_side - 1) * stride + size - fine_side, 0)
        padding.append([total // 2, total - total // 2])
    kernel = tf.nn.conv2d(
        tf.transpose(fine, [3, 1, 2, 0]),
        tf.transpose(coarse, [1, 2, 0, 3]),
        1,
        [[0, 0], *padding, [0, 0]],
        dilations=stride,
    )
    return tf.transpose(kernel[:, : kernel_size[0], : kernel_size[1]], [1, 2, 0, 3])
