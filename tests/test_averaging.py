import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError


def train(gan, strategy, total_steps):
    weights = []
    gan_core.train(
        gan,
        tiny_gan.batches(gan, strategy),
        total_steps=total_steps,
        hooks=[lambda step, metrics: weights.append(tiny_gan.values(gan.generator))],
    )
    return weights


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_equals_its_closed_form(name, request):
    strategy = request.getfixturevalue(name)
    gan = tiny_gan.build_gan(strategy, batch_norm=False, average_half_life_images=20)
    expected = tiny_gan.values(gan.generator)
    for number, weights in enumerate(train(gan, strategy, 60), start=1):
        half_life = min(20, 0.05 * 8 * number)
        keep = 0.5 ** (8 / half_life)
        expected = [keep * e + (1 - keep) * w for e, w in zip(expected, weights, strict=True)]
    for average, value in zip(gan.generator_average.values, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-5, atol=1e-7)


def test_samples_come_from_the_average(one_device):
    gan = tiny_gan.build_gan(one_device, average_half_life_images=1e6)
    latents = gan.latents(4, gan_core.stream_seed(0, "test", 0))
    train(gan, one_device, 30)
    sampled = gan.sample(latents).numpy()
    assert np.abs(sampled - gan.generator(latents, training=False)).max() > 1e-5
    before = tiny_gan.values(gan.generator)
    for variable, average in zip(
        gan.generator.variables, gan.generator_average.values, strict=True
    ):
        variable.assign(tf.convert_to_tensor(average))
    np.testing.assert_allclose(sampled, gan.generator(latents, training=False), atol=1e-6)
    assert any((a != b).any() for a, b in zip(before, tiny_gan.values(gan.generator), strict=True))


def test_refuses_no_half_life(one_device):
    with pytest.raises(ArgumentError, match=r"`half_life_images` \(0\) must be above 0; leave the"):
        tiny_gan.build_gan(one_device, average_half_life_images=0)
