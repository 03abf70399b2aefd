import numpy as np
import pytest
import tensorflow as tf

import gan_core
from gan_core.errors import ArgumentError
from gan_core.random_streams import stream_seed


def draw_of(strategy, batch=None, global_batch_size=8, seed=0):
    return gan_core.Draw(
        batch,
        stream_seed(seed, "test", 3),
        latents=gan_core.NormalLatents(2),
        global_batch_size=global_batch_size,
        replica_batch_size=global_batch_size // strategy.num_replicas_in_sync,
        value_range=(-1.0, 1.0),
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
