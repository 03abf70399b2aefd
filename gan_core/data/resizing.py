"""Conversion of pictures to the size and colours of a network's inputs."""

from __future__ import annotations

import math

import numpy as np
from PIL import ExifTags, Image

RANDOM_CROP_MARGIN = 1.125
"""Size of stored pictures relative to the network's images, for `random` crops."""

ImageShape = tuple[int, int, int]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that makes a picture upright, by EXIF orientation (EXIF 2.3, tag 0x0112)."""


def stored_shape(shape: ImageShape, crop: str) -> ImageShape:
    """The (H, W, C) of stored pictures: `shape`, with a margin for `random` crops."""
    if crop != "random":
        return shape
    height, width, channels = shape
    return math.ceil(height * RANDOM_CROP_MARGIN), math.ceil(width * RANDOM_CROP_MARGIN), channels


def fit(picture: Image.Image, shape: ImageShape, crop: str = "centre") -> np.ndarray:
    """A picture converted to an array of one shape.

    It is rotated according to its EXIF data; transparency becomes white; 16-bit grey becomes
    8-bit; palettes, CMYK and the like become grey (C of 1) or RGB (C of 3). Unless `crop` is
    `none`, its longer side is then cropped evenly at both ends to the aspect ratio of `shape`. The
    result is scaled to `shape`, by averages over areas or, to enlarge it, by interpolation. With
    `none` the whole picture is scaled, which may change its aspect ratio.

    Args:
      picture: Any picture that Pillow can read.
      shape: (H, W, C), C of 1 or 3.
      crop: `centre`, `none`, or `random` (here as `centre`; the pipeline moves the crop).

    Returns:
      Uint8 [H, W, C].
    """
    height, width, channels = shape
    picture = _in_colours(_upright(picture), channels)
    box = (0, 0, *picture.size)
    if crop != "none":
        box = _centre_box(picture.width, picture.height, width / height)
    box_width, box_height = box[2] - box[0], box[3] - box[1]
    if (box_width, box_height) != (width, height):
        shrinks = box_width >= width and box_height >= height
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
        picture = picture.resize((width, height), method, box=box)
    elif box != (0, 0, *picture.size):
        picture = picture.crop(box)
    return np.asarray(picture, np.uint8).reshape(shape)


def _upright(picture: Image.Image) -> Image.Image:
    """The picture rotated according to its EXIF data, unless they cannot be read.

    Pillow's `exif_transpose` fails if any of them are damaged.
    """
    picture.load()  # raises the errors of damaged pixels
    try:
        turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises many types of error on damaged EXIF data
        return picture
    return picture if turn is None else picture.transpose(turn)


def fit_array(image: np.ndarray, shape: ImageShape, crop: str = "centre") -> np.ndarray:
    """`fit` for uint8 [H, W, C] or [H, W]; arrays of the right shape are returned unchanged."""
    if image.shape == shape:
        return image
    return fit(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), shape, crop)


def _in_colours(picture: Image.Image, channels: int) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow would clip 16-bit grey to 8 bits rather than scale it.
        levels = np.asarray(picture).astype(np.int64) // 257
        picture = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    elif picture.mode == "F":
        picture = Image.fromarray(np.clip(np.asarray(picture), 0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("L" if channels == 1 else "RGB")


def _centre_box(width: int, height: int, aspect: float) -> tuple[int, int, int, int]:
    """The largest centred box with the given aspect ratio (width / height), in whole pixels."""
    box_width = min(width, max(1, round(height * aspect)))
    box_height = min(height, max(1, round(width / aspect)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height
