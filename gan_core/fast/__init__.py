"""Keras's layers, computed faster on CPUs, and the precision that is fastest where it runs."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.choices import PRECISIONS
    from gan_core.fast.layers import (
        BatchNormalization,
        Conv2D,
        Conv2DTranspose,
        UpSamplingConv2D,
        synchronize_batch_normalization,
    )
    from gan_core.fast.precision import choose_precision

__all__ = [
    "PRECISIONS",
    "BatchNormalization",
    "Conv2D",
    "Conv2DTranspose",
    "UpSamplingConv2D",
    "choose_precision",
    "synchronize_batch_normalization",
]
