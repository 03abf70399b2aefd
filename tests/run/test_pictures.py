import io

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from gan_core.errors import ArgumentError
from gan_core.run import pictures


def test_grid_places_images_row_by_row():
    cells = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(2, 1).repeat(2, 2)
    picture = pictures.grid(cells)
    assert picture.shape == (4, 6, 1)
    np.testing.assert_array_equal(picture[::2, ::2, 0], [[0, 1, 2], [3, 4, 0]])


@pytest.mark.parametrize("shape", [(0, 2, 2, 1), (2, 2, 1)])
def test_grid_refuses_what_is_not_a_batch_of_images(shape):
    with pytest.raises(ArgumentError, match=r"`images` \(.*\) must have the shape \[N, H, W, C\]"):
        pictures.grid(np.zeros(shape, np.uint8))


def test_caption_is_drawn_below_the_enlarged_picture():
    picture = pictures.with_caption(np.full((10, 100, 1), 7, np.uint8), "trained on something")
    assert picture.shape == (40 + 16, 400, 3)
    assert (picture[:40] == 7).all()
    assert picture[40:].max() > 100


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_keeps_pixels_and_description(channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 4, channels), dtype=np.uint8)
    decoded = Image.open(io.BytesIO(pictures.png_bytes(picture, "svhn, step 3")))
    np.testing.assert_array_equal(np.asarray(decoded).reshape(picture.shape), picture)
    assert decoded.info["Description"] == "svhn, step 3"


def test_gif_has_all_frames_and_repeats_forever():
    frames = [np.full((4, 4, 3), level, np.uint8) for level in (0, 100, 200)]
    encoded = pictures.gif_bytes(frames)
    assert imageio.imread(encoded, extension=".gif", index=None).shape == (3, 4, 4, 3)
    film = Image.open(io.BytesIO(encoded))
    assert film.info["loop"] == 0
