"""Image datasets, and batches of them in an order that can be resumed."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.choices import ARRAY_FILE_ENDINGS as ARRAY_FILE_ENDINGS
    from gan_core.choices import BAD_IMAGES as BAD_IMAGES
    from gan_core.choices import CROPS as CROPS
    from gan_core.data.array_file import array_file_images as array_file_images
    from gan_core.data.digits import drawn_digits as drawn_digits
    from gan_core.data.distributed import distribute as distribute
    from gan_core.data.folder import folder_images as folder_images
    from gan_core.data.kinds import open_images as open_images
    from gan_core.data.kinds import split_names as split_names
    from gan_core.data.pipeline import image_batches as image_batches
    from gan_core.data.pipeline import read_images as read_images
    from gan_core.data.source import UNKNOWN_LABEL as UNKNOWN_LABEL
    from gan_core.data.source import ImageSource as ImageSource
    from gan_core.data.tfds import tfds_images as tfds_images
    from gan_core.data.tfds import tfds_splits as tfds_splits
    from gan_core.images import ValueRange as ValueRange
    from gan_core.images import from_uint8 as from_uint8
    from gan_core.images import to_uint8 as to_uint8
    from gan_core.types import Batch as Batch
