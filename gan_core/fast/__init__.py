"""Faster versions of Keras layers for CPUs, and the choice of the precision."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.choices import PRECISIONS as PRECISIONS
    from gan_core.fast.layers import BatchNormalization as BatchNormalization
    from gan_core.fast.layers import Conv2D as Conv2D
    from gan_core.fast.layers import Conv2DTranspose as Conv2DTranspose
    from gan_core.fast.layers import UpSamplingConv2D as UpSamplingConv2D
    from gan_core.fast.layers import (
        synchronize_batch_normalization as synchronize_batch_normalization,
    )
    from gan_core.fast.precision import choose_precision as choose_precision
