import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError


class Remembering(gan_core.Game):
    """Its discriminator also minimises what the mean of its real logits once was, for a check."""

    @property
    def states(self):
        def update(numbers, means, num_images):
            return {
                "images": numbers["images"] + num_images,
                "logit": 0.5 * numbers["logit"] + 0.5 * means["real_logit"],
            }

        state = gan_core.GameState(
            {"images": 3.0, "logit": 0.25}, update, lambda o: {"real_logit": o.real_logits}
        )
        return (*super().states, state)

    def forward(self, players, draw):
        outputs = super().forward(players, draw)
        outputs.logit_before = draw.state["logit"]
        return outputs

    def discriminator_terms(self, outputs):
        memory = tf.fill(tf.shape(outputs.real_logits), outputs.logit_before)
        return super().discriminator_terms(outputs) | {"memory": memory}


def train(gan, strategy, total_steps):
    lines = []
    gan_core.train(
        gan,
        tiny_gan.batches(gan, strategy),
        total_steps=total_steps,
        hooks=[lambda step, metrics: lines.append({k: float(v) for k, v in metrics.items()})],
    )
    return lines


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_numbers_become_what_their_update_makes_of_them(name, request):
    """They are handed to the game, updated by means over the global batch, logged as they were."""
    strategy = request.getfixturevalue(name)
    gan = tiny_gan.build_gan(strategy, batch_norm=False, game=Remembering())
    images, logit = 3.0, 0.25
    for line in train(gan, strategy, 3):
        assert line["game/images"] == images
        assert line["game/logit"] == pytest.approx(logit, rel=1e-6)
        assert line["discriminator/memory"] == pytest.approx(logit, rel=1e-6)
        images += 8
        logit = 0.5 * logit + 0.5 * line["discriminator/real_logit"]
    for copy in strategy.experimental_local_results(gan.game_state["logit"]):
        assert float(copy) == pytest.approx(logit, rel=1e-6)
    assert abs(logit) > 1e-3


def all_parts(every_steps=1):
    probability = gan_core.AdaptiveProbability(target=-0.99, num_images=40)
    return gan_core.Game(
        regularizers=[dataclasses.replace(gan_core.lecam(0.1), every_updates=every_steps)],
        augment=gan_core.differentiable_augmentation("cutout", probability=probability),
    )


def everything(gan):
    numbers = [variable.numpy() for variable in gan.game_state.values()]
    return [*tiny_gan.values(gan.generator), *tiny_gan.values(gan.discriminator), *numbers]


def test_a_run_goes_on_as_if_it_had_not_stopped(one_device, tmp_path):
    """Beside a lazy penalty, so that the numbers come out of a condition."""
    whole, later = (tiny_gan.build_gan(one_device, game=all_parts(2)) for _ in range(2))
    train(whole, one_device, 2)
    checkpoints = gan_core.run.Checkpoints(tmp_path, whole)
    checkpoints.save({})
    checkpoints.wait()
    names = {name for name, _ in tf.train.list_variables(str(checkpoints.paths()[0] / "variables"))}
    assert "game_state/lecam_real/.ATTRIBUTES/VARIABLE_VALUE" in names
    train(whole, one_device, 4)
    gan_core.run.Checkpoints(tmp_path, later).restore_latest()
    train(later, one_device, 4)
    for a, b in zip(everything(whole), everything(later), strict=True):
        np.testing.assert_array_equal(a, b)
    assert 0 < float(later.game_state["augment_probability"]) < 1
    without = gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device))
    with pytest.raises(ArgumentError, match=r"`checkpoint` .* does not fit these settings"):
        without.restore_latest()


def test_two_replicas_keep_what_one_device_keeps(one_device, mirrored):
    results = []
    for strategy in (one_device, mirrored):
        gan = tiny_gan.build_gan(strategy, batch_norm=False, game=all_parts())
        train(gan, strategy, 4)
        results.append(everything(gan))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=2e-6)


def test_refuses_names_that_mean_two_things(one_device):
    lecam = gan_core.lecam(0.1)
    twice = [lecam, gan_core.Regularizer("other", gan_core.r1, 1.0, state=lecam.state)]
    with pytest.raises(ArgumentError, match=r"`state` \(lecam_real\) must have unique names"):
        tiny_gan.build_gan(one_device, regularizers=twice)

    class Observing(gan_core.Game):
        def observations(self, outputs):
            return {"real_logit": outputs.real_logits}

    gan = tiny_gan.build_gan(one_device, game=Observing(regularizers=[lecam]))
    with pytest.raises(ArgumentError, match=r"`observe` \(real_logit\) is already observed"):
        train(gan, one_device, 1)


def test_refuses_another_game_later(one_device):
    gan = tiny_gan.build_gan(one_device)
    gan.game = gan_core.Game(regularizers=[gan_core.lecam(0.1)])
    with pytest.raises(
        ArgumentError, match=r"must have the state it had when .* \(none\); pass the game"
    ):
        gan.update_generator()
