import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError


def train(gan, strategy, total_steps):
    batches = gan_core.image_batches(
        tiny_gan.source(),
        global_batch_size=8,
        strategy=strategy,
        first_image=int(gan.images_seen.numpy()),
    )
    gan_core.train(gan, batches, total_steps=total_steps)


def everything(gan):
    optimizers = (gan.generator_optimizer, gan.discriminator_optimizer)
    return (
        tiny_gan.values(gan.generator)
        + tiny_gan.values(gan.discriminator)
        + [variable.numpy() for optimizer in optimizers for variable in optimizer.variables]
        + [gan.step.numpy(), gan.images_seen.numpy(), gan.generator_updates.numpy()]
    )


def test_two_steps_a_restore_and_two_steps_are_four_steps(one_device, tmp_path):
    whole = tiny_gan.build_gan(one_device)
    train(whole, one_device, 4)

    first = tiny_gan.build_gan(one_device)
    train(first, one_device, 2)
    gan_core.Checkpoints(tmp_path, first).save({"data": "tiny"})

    second = tiny_gan.build_gan(one_device, seed=0)
    facts = gan_core.Checkpoints(tmp_path, second).restore_latest()
    assert facts == {"step": 2, "data": "tiny"}
    train(second, one_device, 4)
    for a, b in zip(everything(whole), everything(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keeps_the_newest(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.Checkpoints(tmp_path, gan, keep=2)
    assert checkpoints.restore_latest() is None
    for step in (1, 9_999_999, 10_000_000):
        gan.step.assign(step)
        checkpoints.save({})
    assert [path.name for path in checkpoints.paths()] == ["step_9999999", "step_10000000"]
    gan.step.assign(0)
    checkpoints.restore_latest()
    assert int(gan.step.numpy()) == 10_000_000


def test_one_cut_off_while_it_was_written_is_no_checkpoint(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.Checkpoints(tmp_path, gan)
    checkpoints.save({})
    (tmp_path / "partial_0000009").mkdir()
    assert [path.name for path in checkpoints.paths()] == ["step_0000000"]


def test_attribute_names_are_the_schema(one_device, tmp_path):
    """Renaming one makes old checkpoints unreadable: change this list knowingly."""
    path = gan_core.Checkpoints(tmp_path, tiny_gan.build_gan(one_device)).save({})
    keys = {name for name, _ in tf.train.list_variables(str(path / "variables"))}
    roots = {"/".join(key.split("/")[:2]) for key in keys}
    assert roots == {
        "_CHECKPOINTABLE_OBJECT_GRAPH",
        "gan/discriminator",
        "gan/discriminator_optimizer",
        "gan/generator",
        "gan/generator_optimizer",
        "gan/generator_updates",
        "gan/images_seen",
        "gan/step",
    }


def test_refuses_to_keep_none(one_device, tmp_path):
    with pytest.raises(ArgumentError, match=r"`keep` \(0\) must be above 0; keep at least"):
        gan_core.Checkpoints(tmp_path, tiny_gan.build_gan(one_device), keep=0)


def test_refuses_what_belongs_to_another_run(one_device, tmp_path):
    gan_core.Checkpoints(tmp_path, tiny_gan.build_gan(one_device)).save({"data": "tiny"})
    other = gan_core.Checkpoints(tmp_path, tiny_gan.build_gan(one_device, batch_norm=False))
    with pytest.raises(ArgumentError, match=r"`data` \(mnist\) must be that of .*, tiny; go on wi"):
        other.restore_latest({"data": "mnist"})
    with pytest.raises(ArgumentError, match=r"`checkpoint` .* does not fit these settings"):
        other.restore_latest({"data": "tiny"})


def test_networks_alone_are_restored_whatever_the_optimizers(one_device, tmp_path):
    trained = tiny_gan.build_gan(one_device)
    train(trained, one_device, 2)
    gan_core.Checkpoints(tmp_path, trained).save({})
    with one_device.scope():
        other = gan_core.GanStep(
            generator=tiny_gan.build_generator(),
            discriminator=tiny_gan.build_discriminator(),
            generator_optimizer=keras.optimizers.RMSprop(),
            discriminator_optimizer=keras.optimizers.SGD(),
            latents=gan_core.NormalLatents(tiny_gan.LATENT_SIZE),
            global_batch_size=8,
        )
    checkpoints = gan_core.Checkpoints(tmp_path, other)
    with pytest.raises(ArgumentError, match="does not fit these settings"):
        checkpoints.restore_latest()
    assert checkpoints.restore_latest(for_training=False) == {"step": 2}
    for a, b in zip(
        tiny_gan.values(trained.generator), tiny_gan.values(other.generator), strict=True
    ):
        np.testing.assert_array_equal(a, b)
