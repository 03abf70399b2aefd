"""Images: where they come from, and as batches in an order that can be resumed."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.choices import ARRAY_FILE_ENDINGS, BAD_IMAGES, CROPS
    from gan_core.data.array_file import array_file_images
    from gan_core.data.digits import drawn_digits
    from gan_core.data.distributed import distribute
    from gan_core.data.folder import folder_images
    from gan_core.data.kinds import open_images, split_names
    from gan_core.data.pipeline import image_batches, read_images
    from gan_core.data.source import UNKNOWN_LABEL, ImageSource
    from gan_core.data.tfds import tfds_images, tfds_splits
    from gan_core.images import ValueRange, from_uint8, to_uint8
    from gan_core.types import Batch

__all__ = [
    "ARRAY_FILE_ENDINGS",
    "BAD_IMAGES",
    "CROPS",
    "UNKNOWN_LABEL",
    "Batch",
    "ImageSource",
    "ValueRange",
    "array_file_images",
    "distribute",
    "drawn_digits",
    "folder_images",
    "from_uint8",
    "image_batches",
    "open_images",
    "read_images",
    "split_names",
    "tfds_images",
    "tfds_splits",
    "to_uint8",
]
