import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from test_draw import draw_of

import gan_core
from gan_core import augmentation
from gan_core.errors import ArgumentError

SIZE = 16


def augmented(strategy, names, images, stream="a", **arguments):
    def replica():
        augment = gan_core.differentiable_augmentation(*names, **arguments)
        return augment(images, draw_of(strategy, global_batch_size=len(images)), stream)

    return strategy.run(replica).numpy()


def coordinates(count):
    """Images whose channels tell where a pixel was, from 1 on: 0 is what comes in."""
    rows, columns = np.mgrid[1 : SIZE + 1, 1 : SIZE + 1].astype(np.float32)
    return np.repeat(np.stack([rows, columns, rows], axis=-1)[None], count, axis=0)


def test_all_can_be_chosen_by_name():
    assert tuple(augmentation._BY_NAME) == gan_core.AUGMENTATIONS
    for names in ((), ("mirror",), ("colour", "x")):
        with pytest.raises(ArgumentError, match=r"`augment` \(.*\) is not recognised; use"):
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


@pytest.mark.parametrize("size", [16, 18])  # squares of 8 and of 9
def test_cutout_covers_both_ends_alike(size, one_device, monkeypatch):
    """Over all places of its middle."""
    monkeypatch.setattr(
        augmentation, "_whole_numbers", lambda draw, stream, low, high: tf.range(low, high + 1)
    )
    count = size + 1 if size == 16 else size
    images = augmented(one_device, ["cutout"], np.ones([count, size, size, 1], np.float32))
    covered = (images == 0).mean(axis=0)[..., 0]
    np.testing.assert_array_equal(covered, covered[::-1, ::-1])


def test_flip_mirrors_every_other_image(one_device):
    images = coordinates(400)
    flipped = augmented(one_device, ["flip"], images)
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (flipped == images).all(axis=(1, 2, 3))).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_each_image_has_each_augmentation_with_the_probability(one_device):
    """Independently; 0 leaves all as they are and 1 none."""
    images = coordinates(400)
    always = augmented(one_device, ["cutout"], images)
    names = ["cutout", "flip"]
    np.testing.assert_array_equal(augmented(one_device, names, images, probability=0.0), images)
    sometimes = augmented(one_device, ["cutout"], images, probability=0.3)
    as_always = (sometimes == always).all(axis=(1, 2, 3))
    assert (as_always | (sometimes == images).all(axis=(1, 2, 3))).all()
    assert 0.23 < as_always.mean() < 0.37
    both = augmented(one_device, names, images, probability=0.3)
    is_flipped = (both != sometimes).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(both[is_flipped], sometimes[is_flipped][:, :, ::-1])
    assert 0.1 < is_flipped.mean() < 0.2
    assert abs(np.corrcoef(as_always, is_flipped)[0, 1]) < 0.15


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_refuses_what_is_no_probability(probability):
    with pytest.raises(ArgumentError, match=r"`probability` \(.*\) must be in \[0, 1\]"):
        gan_core.differentiable_augmentation("cutout", probability=probability)


@pytest.mark.parametrize(
    ("arguments", "name"), [({"target": 1.0}, "target"), ({"num_images": 0}, "num_images")]
)
def test_refuses_what_cannot_adapt(arguments, name):
    with pytest.raises(ArgumentError, match=rf"`{name}` \(.*\) must be"):
        gan_core.AdaptiveProbability(**arguments)


def test_an_adaptive_probability_rises_while_the_discriminator_is_too_sure():
    """From 0 to 1 in as many images as it says, down again, and never out of [0, 1]."""
    state = gan_core.AdaptiveProbability(target=0.6, num_images=80).state

    def after(updates, sign, start):
        numbers = {"augment_probability": tf.constant(start)}
        for _ in range(updates):
            numbers = state.update(numbers, {"real_sign": tf.constant(sign)}, 8)
        return float(numbers["augment_probability"])

    for updates, sign, start, expected in (
        (4, 0.7, 0.0, 0.4), (10, 1.0, 0.0, 1.0), (12, 1.0, 0.0, 1.0),
        (3, 0.5, 1.0, 0.7), (3, -1.0, 0.1, 0.0), (3, 0.6, 0.5, 0.5),
    ):  # fmt: skip
        assert after(updates, sign, start) == pytest.approx(expected, abs=1e-6)


def test_an_adaptive_probability_sees_the_signs_of_real_logits(one_device):
    """Of a discriminator that knows all reals, and of one that takes all for fakes."""
    for bias, expected in ((50.0, 3 * 8 / 40), (-50.0, 0.0)):
        adaptive = gan_core.AdaptiveProbability(num_images=40)
        augment = gan_core.differentiable_augmentation("cutout", probability=adaptive)
        gan = tiny_gan.build_gan(one_device, game=gan_core.Game(augment=augment))
        gan.discriminator.trainable_variables[-1].assign([bias])
        gan_core.train(gan, tiny_gan.batches(gan, one_device), total_steps=3)
        assert float(gan.game_state["augment_probability"]) == pytest.approx(expected)


def test_training_with_probability_0_is_training_without(one_device):
    augment = gan_core.differentiable_augmentation(*gan_core.AUGMENTATIONS, probability=0.0)
    weights = []
    for game in (gan_core.Game(), gan_core.Game(augment=augment)):
        gan = tiny_gan.build_gan(one_device, game=game)
        gan_core.train(gan, tiny_gan.batches(gan, one_device), total_steps=2)
        weights.append(tiny_gan.values(gan.generator) + tiny_gan.values(gan.discriminator))
    for without, never in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, never)


def test_an_adaptive_probability_belongs_to_a_game(one_device):
    adaptive = gan_core.AdaptiveProbability()
    with pytest.raises(
        ArgumentError, match=r"`probability` .* needs the game's state; pass the aug"
    ):
        augmented(one_device, ["cutout"], coordinates(2), probability=adaptive)


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
