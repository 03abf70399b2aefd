import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from test_draw import draw_of

import gan_core
from gan_core import augmentation
from gan_core.errors import ArgumentError

SIZE = 16


def augmented(strategy, names, images, stream="a"):
    def replica():
        augment = gan_core.differentiable_augmentation(*names)
        return augment(images, draw_of(strategy, global_batch_size=len(images)), stream)

    return strategy.run(replica).numpy()


def coordinates(count):
    """Images whose channels tell where a pixel was, from 1 on: 0 is what comes in."""
    rows, columns = np.mgrid[1 : SIZE + 1, 1 : SIZE + 1].astype(np.float32)
    return np.repeat(np.stack([rows, columns, rows], axis=-1)[None], count, axis=0)


def test_all_can_be_chosen_by_name():
    assert tuple(augmentation._BY_NAME) == gan_core.AUGMENTATIONS
    for names in ((), ("flip",), ("colour", "x")):
        with pytest.raises(ArgumentError, match=r"`augment` \(.*\) must be one of the known; use"):
            gan_core.differentiable_augmentation(*names)


def test_translation_moves_by_up_to_an_eighth_and_zeros_come_in(one_device):
    images = augmented(one_device, ["translation"], coordinates(400))
    middle = images[:, SIZE // 2, SIZE // 2]
    down, right = SIZE // 2 + 1 - middle[:, 0], SIZE // 2 + 1 - middle[:, 1]
    for shifts in (down, right):
        numbers, counts = np.unique(shifts, return_counts=True)
        np.testing.assert_array_equal(numbers, range(-2, 3))
        np.testing.assert_allclose(counts / 400, 0.2, atol=0.06)
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.15
    first = int(np.argmax(down == 2))
    assert not images[first, :2].any()
    assert images[first, 2:, 4:-4].all()


def test_cutout_takes_a_square_of_half_a_side(one_device):
    images = augmented(one_device, ["cutout"], np.ones([400, SIZE, SIZE, 1], np.float32))
    areas = (images == 0).sum(axis=(1, 2, 3))
    assert areas.max() == (SIZE // 2) ** 2
    assert areas.min() >= (SIZE // 4) ** 2
    places = (images == 0).mean(axis=0)[..., 0]
    assert places.min() > 0.02
    assert set(np.unique(images)) == {0.0, 1.0}


def test_colour_follows_its_formulas(one_device):
    images = np.random.default_rng(0).uniform(-1, 1, (8, 4, 4, 3)).astype(np.float32)
    result = augmented(one_device, ["colour"], images)
    draw = one_device.run(
        lambda: [
            draw_of(one_device).uniform(f"a/colour/{name}", (1, 1, 1), *limits)
            for name, limits in (
                ("brightness", (-0.5, 0.5)),
                ("saturation", (0.0, 2.0)),
                ("contrast", (0.5, 1.5)),
            )
        ]
    )
    brightness, saturation, contrast = (numbers.numpy() for numbers in draw)
    expected = images + brightness
    grey = expected.mean(axis=3, keepdims=True)
    expected = (expected - grey) * saturation + grey
    mean = expected.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(result, (expected - mean) * contrast + mean, atol=1e-5)


@pytest.mark.parametrize("name", gan_core.AUGMENTATIONS)
def test_numbers_belong_to_the_update_and_gradients_pass_twice(one_device, name):
    images = tf.constant(coordinates(8) / SIZE)
    one, again = (augmented(one_device, [name], images) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (augmented(one_device, [name], images, "b") != one).any()

    def second_derivative():
        augment = gan_core.differentiable_augmentation(name)
        with tf.GradientTape() as outer:
            outer.watch(images)
            with tf.GradientTape() as inner:
                inner.watch(images)
                total = tf.reduce_sum(augment(images, draw_of(one_device), "a") ** 3)
            penalty = tf.reduce_sum(inner.gradient(total, images) ** 2)
        return outer.gradient(penalty, images)

    gradient = one_device.run(second_derivative).numpy()
    assert np.isfinite(gradient).all()
    assert gradient.any()


def test_trains_with_all_of_them_and_a_penalty(one_device):
    game = gan_core.Game(
        gan_core.relativistic(),
        [
            gan_core.Regularizer("r1", gan_core.r1, 0.1),
            gan_core.Regularizer("r2", gan_core.r2, 0.1),
        ],
        gan_core.differentiable_augmentation(*gan_core.AUGMENTATIONS),
    )
    gan = tiny_gan.build_gan(one_device, game=game)
    gan_core.train(gan, tiny_gan.batches(gan, one_device), total_steps=2)
    assert all(np.isfinite(value).all() for value in tiny_gan.values(gan.discriminator))
