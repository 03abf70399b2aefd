"""Synthetic house-number digits: labelled images without files or network."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from gan_core.data.cache import cached_images, with_progress
from gan_core.data.resizing import ImageShape, fit_array, stored_shape
from gan_core.data.source import ImageSource
from gan_core.errors import ArgumentError
from gan_core.files import checksum

SIZE = 32
NUM_CLASSES = 10
SPLITS = {"train": range(0, 10_000), "test": range(10_000, 12_000)}
_GLYPH_HEIGHT = 32


def drawn_digits(
    split: str = "train",
    *,
    seed: int = 0,
    image_shape: ImageShape | None = None,
    crop: str = "centre",
    cache_dir: Path | None = None,
    memory_limit_bytes: int = 4 * 2**30,
) -> ImageSource:
    """Synthetic house-number digits, which need no files and no network.

    Image `index` is a pure function of (seed, index): a digit on a wall, often with parts of its
    neighbours; glyphs of Pillow's built-in font vary in size, slant, colour, blur, light and noise.
    The label is the digit in the middle; all are about equally frequent.

    Args:
      split: `train` (10,000 images) or `test` (2,000 others).
      seed: Seed of the digits, 0 or above.
      image_shape: (H, W, C) that images are fitted to; 32x32x3, as drawn, when None.
      crop: Fitting to another shape: `centre`, `none` or `random`; see `resizing.fit`.
      cache_dir: Folder of the drawn images, as drawing takes seconds; not cached when None.
      memory_limit_bytes: With a `cache_dir`, images that need more memory are read from there.

    Raises:
      ArgumentError: If there is no such split.
    """
    if split not in SPLITS:
        raise ArgumentError(
            "split", split, "must be a split of `drawn_digits`", f"use one of {', '.join(SPLITS)}"
        )
    own_shape = (SIZE, SIZE, 3)
    stored = stored_shape(image_shape or own_shape, crop)
    notes = "" if stored == own_shape else f"fitted from 32x32x3 (crop: {crop})"
    indices = SPLITS[split]

    def examples() -> Iterator[tuple[np.ndarray, int]]:
        for index in with_progress(indices, "Drawing digits", len(indices)):
            image, label = draw_digit(seed, index)
            yield fit_array(image, stored, crop), label

    if cache_dir is None:
        images, labels = map(np.array, zip(*examples(), strict=True))
        content = ""
    else:
        # The pixels depend on this file and on the libraries that draw.
        key = {"drawn_digits": checksum(Path(__file__)), "split": split, "seed": seed}
        key |= {"libraries": [PIL.__version__, np.__version__], "shape": stored, "crop": crop}
        shape = (len(indices), *stored)
        images, labels, content = cached_images(
            cache_dir, key, shape, examples(), memory_limit_bytes
        )
    class_names = tuple(map(str, range(NUM_CLASSES)))
    return ImageSource(f"drawn_digits/{split}", images, labels, class_names, notes, content)


def draw_digit(seed: int, index: int) -> tuple[np.ndarray, int]:
    """Image number `index` of a seed's digits, uint8 [32, 32, 3], and its label."""
    rng = np.random.default_rng((seed, index))
    label, left, right = rng.integers(0, NUM_CLASSES, 3)
    mask = _digit_mask(rng, label, left, right)
    wall, paint = _two_colours(rng)
    picture = wall + (paint - wall) * mask[..., None]
    picture *= _light(rng)[..., None]
    noise = rng.standard_normal(picture.shape, np.float32)
    picture += noise * np.float32(rng.uniform(0.0, 6.0))
    return np.clip(picture, 0, 255).astype(np.uint8), int(label)


def _digit_mask(rng: np.random.Generator, label: int, left: int, right: int) -> np.ndarray:
    """Share of paint in each pixel: float32 [32, 32] in [0, 1]."""
    glyph = _glyphs()[label]
    strip = Image.new("L", (4 * _GLYPH_HEIGHT, _GLYPH_HEIGHT))
    middle = strip.width // 2
    start = middle - glyph.width // 2
    strip.paste(glyph, (start, 0))
    gap = int(rng.integers(2, 8))
    if rng.random() < 0.4:
        neighbour = _glyphs()[left]
        strip.paste(neighbour, (start - gap - neighbour.width, 0))
    if rng.random() < 0.4:
        strip.paste(_glyphs()[right], (start + glyph.width + gap, 0))

    # The affine map takes positions in the picture to positions in the strip.
    height = rng.uniform(19.0, 27.0)
    scale_y = _GLYPH_HEIGHT / height
    scale_x = scale_y / rng.uniform(0.85, 1.2)
    slant = rng.uniform(-0.25, 0.25)
    centre_x = SIZE / 2 + rng.uniform(-1.5, 1.5)
    centre_y = SIZE / 2 + rng.uniform(-1.5, 1.5)
    turn = rng.uniform(-0.08, 0.08)
    coefficients = (
        scale_x,
        slant * scale_x,
        middle - scale_x * (centre_x + slant * centre_y),
        turn * scale_y,
        scale_y,
        _GLYPH_HEIGHT / 2 - scale_y * (centre_y + turn * centre_x),
    )
    mask = strip.transform(
        (SIZE, SIZE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    return np.asarray(mask, np.float32) / 255.0


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colours of wall and paint, float32 [3] each, at least 80 levels of brightness apart."""
    dark = rng.uniform(20.0, 110.0)
    bright = rng.uniform(dark + 80.0, 235.0)
    colours = np.array([[dark], [bright]]) + rng.normal(0.0, 18.0, (2, 3))
    if rng.random() < 0.5:
        colours = colours[::-1]
    return colours[0].astype(np.float32), colours[1].astype(np.float32)


def _light(rng: np.random.Generator) -> np.ndarray:
    """A linear change of brightness over the wall: float32 [32, 32] around 1."""
    slope_x, slope_y = rng.uniform(-0.2, 0.2, 2)
    across = np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)
    return np.float32(1.0) + np.float32(slope_x) * across + np.float32(slope_y) * across[:, None]


@functools.cache
def _glyphs() -> tuple[Image.Image, ...]:
    """The ten digits as masks of equal height and different widths."""
    font = ImageFont.load_default(size=_GLYPH_HEIGHT * 1.4)
    return tuple(_glyph(font, str(digit)) for digit in range(NUM_CLASSES))


def _glyph(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> Image.Image:
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text, stroke_width=1))
    glyph = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(glyph).text((-left, -top), text, fill=255, font=font, stroke_width=1)
    width = round(glyph.width * _GLYPH_HEIGHT / glyph.height)
    return glyph.resize((width, _GLYPH_HEIGHT), Image.Resampling.BOX)
