import itertools

import numpy as np
import pytest
import tensorflow as tf

import gan_core
from gan_core import draw
from gan_core.draw import stream_seed
from gan_core.errors import ArgumentError


def draw_of(strategy, batch=None, global_batch_size=8, seed=0, images_seen=None):
    return gan_core.Draw(
        batch,
        stream_seed(seed, "test", 3),
        latents=gan_core.NormalLatents(2),
        global_batch_size=global_batch_size,
        replica_batch_size=global_batch_size // strategy.num_replicas_in_sync,
        value_range=(-1.0, 1.0),
        images_seen=images_seen,
    )


def drawn(strategy, name, seed=0):
    def replica():
        draw = draw_of(strategy, seed=seed)
        return draw.latents, draw.uniform(name, (2,), -1.0, 2.0), draw.normal(name)

    parts = [strategy.experimental_local_results(part) for part in strategy.run(replica)]
    return [np.concatenate([np.asarray(each) for each in part]) for part in parts]


def test_numbers_are_those_of_the_global_batch_on_any_number_of_replicas(one_device, mirrored):
    for one, two in zip(drawn(one_device, "a"), drawn(mirrored, "a"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_name_and_another_update_give_other_numbers(one_device):
    _, uniform, normal = drawn(one_device, "a")
    for other in (drawn(one_device, "b"), drawn(one_device, "a", seed=1)):
        assert not np.isclose(uniform, other[1]).any()
        assert not np.isclose(normal, other[2]).any()
    assert uniform.shape == (8, 2)
    assert uniform.min() >= -1.0
    assert uniform.max() < 2.0


def test_refuses_a_batch_of_another_size_and_latents_that_are_no_floats(one_device):
    batch = gan_core.data.Batch(tf.zeros([4, 2, 2, 1], tf.uint8), tf.zeros([4], tf.int64))
    with pytest.raises(ArgumentError, match=r"`batch` \(4\) must hold 8 examples a replica"):
        one_device.run(lambda: draw_of(one_device, batch).real_images)
    draw = draw_of(one_device)
    draw._latents = lambda count, seed: tf.zeros([count, 2], tf.int32)
    with pytest.raises(ArgumentError, match=r"`latents` \(int32\) must be floats"):
        one_device.run(lambda: draw.latents)


IMAGES = tf.constant(np.arange(8 * 3).reshape(8, 1, 1, 3) * 10, tf.uint8)


@pytest.mark.parametrize(
    "batch",
    [
        gan_core.data.Batch(IMAGES, tf.zeros([8], tf.int64)),
        {"images": IMAGES, "labels": tf.zeros([8])},
        {"image": IMAGES, "label": tf.zeros([8])},
        IMAGES,
    ],
)
def test_images_are_found_in_a_batch_of_any_kind(one_device, batch):
    given = draw_of(one_device, batch)
    assert given.batch is batch
    np.testing.assert_allclose(given.real_images, IMAGES.numpy() / 127.5 - 1.0, atol=1e-6)


@pytest.mark.parametrize("batch", [{"a": IMAGES, "b": IMAGES}, (IMAGES, IMAGES)])
def test_a_batch_that_does_not_name_its_images_is_given_as_it_is(one_device, batch):
    given = draw_of(one_device, batch)
    with pytest.raises(ArgumentError, match=r"`batch` \((a, b|tuple)\) must name its images; use"):
        given.real_images  # noqa: B018
    assert given.batch is batch
    first = given.batch["a" if isinstance(batch, dict) else 0]
    assert float(tf.reduce_max(given.scaled(first))) == pytest.approx(230 / 127.5 - 1)


@pytest.mark.parametrize("high", [1.15, 1.3, 255.0])
def test_floats_must_be_in_the_range_in_the_first_batch(one_device, high):
    images = tf.linspace(-1.1, high, 8)[:, None, None, None]
    seen = tf.Variable(8, dtype=tf.int64)

    def scale():
        return draw_of(one_device, images, images_seen=seen).real_images

    for run in (scale, tf.function(scale)):
        seen.assign(8)
        if high < 1.2:
            np.testing.assert_array_equal(run(), images)
            continue
        with pytest.raises((ArgumentError, tf.errors.InvalidArgumentError)) as caught:
            run()
        error = caught.value
        if run is not scale:
            error = draw.range_error_in(error)
        assert str(error).startswith("`batch` (float images from -1.1 to ")
        assert "must be in `value_range`; use uint8 images" in str(error)
        seen.assign(9)
        np.testing.assert_array_equal(run(), images)


def test_seed_stream_and_index_each_give_another_seed():
    seeds = [
        tuple(stream_seed(seed, stream, index).numpy())
        for seed, stream, index in itertools.product((0, 1), ("a", "b"), (0, 1, 2**40))
    ]
    assert len(set(seeds)) == len(seeds)
    assert seeds[0] == tuple(stream_seed(0, "a", 0).numpy())
