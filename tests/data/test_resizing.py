import io

import numpy as np
import pytest
from PIL import Image

from gan_core.data.resizing import fit, fit_array, stored_shape


def pattern(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_shrinking_averages_over_areas():
    image = pattern(8, 8)
    expected = image.reshape(4, 2, 4, 2, 3).mean((1, 3))
    np.testing.assert_allclose(fit(Image.fromarray(image), (4, 4, 3)), expected, atol=1.0)


def test_centre_cuts_the_longer_side_evenly():
    image = pattern(4, 10)
    np.testing.assert_array_equal(fit(Image.fromarray(image), (4, 4, 3)), image[:, 3:7])
    image = pattern(10, 4)
    np.testing.assert_array_equal(fit(Image.fromarray(image), (4, 4, 3)), image[3:7])


def test_none_squeezes_the_whole_picture():
    image = pattern(4, 8)
    expected = image.reshape(4, 4, 2, 3).mean(2)
    np.testing.assert_allclose(fit(Image.fromarray(image), (4, 4, 3), "none"), expected, atol=1.0)


def test_random_keeps_a_margin():
    assert stored_shape((64, 48, 3), "random") == (72, 54, 3)
    assert stored_shape((64, 48, 3), "centre") == (64, 48, 3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3), (3, 2, 3)])
@pytest.mark.parametrize("crop", ["centre", "none"])
def test_any_size_is_enlarged_or_shrunk(shape, crop):
    image = np.full(shape, 77, np.uint8)
    np.testing.assert_array_equal(fit_array(image, (16, 16, 3), crop), np.full((16, 16, 3), 77))


def test_exif_rotation_is_applied(tmp_path):
    image = pattern(4, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        np.testing.assert_array_equal(fit(picture, (4, 4, 3)), np.rot90(image, -1))


def test_a_picture_with_garbled_exif_data_is_taken_as_it_is():
    picture = Image.new("RGB", (6, 4), "red")
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", exif=b"Exif\0\0" + bytes(20))
    buffer.seek(0)
    assert fit(Image.open(buffer), (4, 6, 3)).shape == (4, 6, 3)


def test_colours_of_all_kinds():
    red = (200, 10, 20)
    plain = Image.new("RGB", (4, 4), red)
    for picture in (plain, plain.quantize(), plain.convert("CMYK")):
        np.testing.assert_allclose(fit(picture, (4, 4, 3))[0, 0], red, atol=1)
    grey = Image.new("L", (4, 4), 90)
    np.testing.assert_array_equal(fit(grey, (4, 4, 3)), np.full((4, 4, 3), 90))
    np.testing.assert_array_equal(fit(grey, (4, 4, 1)), np.full((4, 4, 1), 90))
    assert abs(int(fit(Image.new("RGB", (4, 4), red), (4, 4, 1))[0, 0, 0]) - 68) <= 1
    sixteen_bits = Image.fromarray(np.full((4, 4), 90 * 257, np.uint16))
    np.testing.assert_array_equal(fit(sixteen_bits, (4, 4, 1)), np.full((4, 4, 1), 90))
    np.testing.assert_array_equal(
        fit(Image.new("1", (4, 4), 1), (4, 4, 1)), np.full((4, 4, 1), 255)
    )


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    np.testing.assert_array_equal(fit(clear, (4, 4, 3)), np.full((4, 4, 3), 255))
    half = Image.new("LA", (4, 4), (0, 128))
    np.testing.assert_allclose(fit(half, (4, 4, 1)), np.full((4, 4, 1), 127), atol=1)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([9, 9, 9] * 256)
    palette.info["transparency"] = 0
    np.testing.assert_array_equal(fit(palette, (4, 4, 3)), np.full((4, 4, 3), 255))
