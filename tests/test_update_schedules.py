import pytest
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError


def test_alternating_takes_a_batch_an_update_and_means_over_them(one_device):
    gan = tiny_gan.build_gan(one_device, batch_norm=False)
    batches = tiny_gan.batches(gan, one_device)
    metrics = gan_core.alternating(3)(gan, batches)
    assert int(gan.images_seen.numpy()) == 24
    assert int(gan.generator_updates.numpy()) == 1

    other = tiny_gan.build_gan(one_device, batch_norm=False)
    batches = tiny_gan.batches(other, one_device)
    losses = [other.update_discriminator(next(batches))["discriminator/loss"] for _ in range(3)]
    assert float(metrics["discriminator/loss"]) == pytest.approx(float(sum(losses)) / 3, rel=1e-6)
    assert float(metrics["generator/loss"]) == float(other.update_generator()["generator/loss"])


def test_refuses_no_updates():
    with pytest.raises(ArgumentError, match=r"`discriminator_updates` \(0\) must be above 0"):
        gan_core.alternating(0)
