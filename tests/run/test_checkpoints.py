import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError
from gan_core.run.checkpoint_files import step_of, write_manifest


def train(gan, strategy, total_steps):
    gan_core.train(gan, tiny_gan.batches(gan, strategy), total_steps=total_steps)


def save(checkpoints, facts, score=None):
    checkpoints.save(facts, score)
    checkpoints.wait()
    return checkpoints.paths()[-1]


def everything(gan):
    optimizers = (gan.generator_optimizer, gan.discriminator_optimizer)
    return (
        tiny_gan.values(gan.generator)
        + tiny_gan.values(gan.discriminator)
        + [variable.numpy() for optimizer in optimizers for variable in optimizer.variables]
        + [gan.step.numpy(), gan.images_seen.numpy(), gan.generator_updates.numpy()]
    )


def scheduled():
    rate = gan_core.learning_rate(1e-3, "cosine", decay_steps=6, warm_up_steps=1)
    return gan_core.Adam(rate, global_clipnorm=0.5, gradient_accumulation_steps=3)


@pytest.mark.parametrize("optimizer", [tiny_gan.adam, scheduled])
def test_two_steps_a_restore_and_two_steps_are_four_steps(one_device, tmp_path, optimizer):
    """Also amid gradients that are accumulated and a rate that changes."""
    whole = tiny_gan.build_gan(one_device, optimizer=optimizer)
    train(whole, one_device, 4)

    first = tiny_gan.build_gan(one_device, optimizer=optimizer)
    train(first, one_device, 2)
    save(gan_core.run.Checkpoints(tmp_path, first), {"data": "tiny"})

    second = tiny_gan.build_gan(one_device, optimizer=optimizer, seed=0)
    facts = gan_core.run.Checkpoints(tmp_path, second).restore_latest()
    assert facts == {"step": 2, "data": "tiny", "score": None}
    train(second, one_device, 4)
    for a, b in zip(everything(whole), everything(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keeps_the_newest(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan, keep=2)
    assert checkpoints.restore_latest() is None
    for step in (1, 9_999_999, 10_000_000):
        gan.step.assign(step)
        save(checkpoints, {})
    assert [path.name for path in checkpoints.paths()] == ["step_9999999", "step_10000000"]
    gan.step.assign(0)
    checkpoints.restore_latest()
    assert int(gan.step.numpy()) == 10_000_000


def test_one_cut_off_while_it_was_written_is_no_checkpoint(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan)
    save(checkpoints, {})
    (tmp_path / "partial_0000009").mkdir()
    (tmp_path / "step_notes").mkdir()
    assert [path.name for path in checkpoints.paths()] == ["step_0000000"]


def test_names_are_the_documented_schema(one_device, tmp_path):
    """Another name makes old checkpoints unreadable: change this list knowingly."""
    gan = tiny_gan.build_gan(one_device, average_half_life_images=10)
    path = save(gan_core.run.Checkpoints(tmp_path, gan), {})
    shapes = dict(tf.train.list_variables(str(path / "variables")))
    ending = "/.ATTRIBUTES/VARIABLE_VALUE"
    assert {key.removesuffix(ending) for key in shapes} - {"_CHECKPOINTABLE_OBJECT_GRAPH"} == {
        *("generator_updates", "images_seen", "rollbacks", "step"),
        *(f"generator/{n}" for n in range(7)),
        *(f"generator_average/{n}" for n in range(7)),
        *(f"discriminator/{n}" for n in range(7)),
        *(f"generator_optimizer/{n}" for n in range(2 + 2 * 5)),
        *(f"discriminator_optimizer/{n}" for n in range(2 + 2 * 5)),
    }
    for number, variable in enumerate(gan.generator.variables):
        assert tuple(shapes[f"generator/{number}{ending}"]) == variable.shape


def test_a_checkpoint_with_keras_names_is_refused_in_one_line(one_device, tmp_path):
    """Early versions wrote such names."""
    trained = tiny_gan.build_gan(one_device, average_half_life_images=10)
    train(trained, one_device, 2)
    path = save(gan_core.run.Checkpoints(tmp_path, trained), {})
    for file in (*path.glob("variables*"), path / "manifest.json"):
        file.unlink()
    tf.train.Checkpoint(gan=trained).write(str(path / "variables"))
    write_manifest(path)
    for for_training in (True, False):
        other = tiny_gan.build_gan(one_device, average_half_life_images=10, seed=0)
        with pytest.raises(ArgumentError, match=r"`checkpoint` .* does not fit these settings"):
            gan_core.run.Checkpoints(tmp_path, other).restore_latest(for_training=for_training)


def test_any_checkpoint_can_be_restored(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan)
    for step, score in enumerate((5.0, 3.0, 4.0), start=1):
        gan.step.assign(step)
        save(checkpoints, {"name": step}, score)
    for which, step in (("newest", 3), ("best", 2), (1, 1), (tmp_path / "step_0000003", 3)):
        assert checkpoints.restore(which)["name"] == step
        assert int(gan.step.numpy()) == step
        assert checkpoints.restore(which, for_training=False)["name"] == step
    for which in (4, "first", tmp_path / "nowhere"):
        with pytest.raises(ArgumentError, match="where there are: 1, 2, 3; name one of these"):
            checkpoints.restore(which)
    flip_a_bit(tmp_path / "step_0000001")
    with pytest.raises(ArgumentError, match="is damaged"):
        checkpoints.restore(1)
    with pytest.raises(ArgumentError, match="none was saved with a score"):
        gan_core.run.Checkpoints(tmp_path / "other", gan).restore("best")


def test_refuses_to_keep_none(one_device, tmp_path):
    with pytest.raises(ArgumentError, match=r"`keep` \(0\) must be above 0; keep at least"):
        gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device), keep=0)


def test_refuses_updates_that_were_not_counted_as_steps(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    gan.update_generator()
    words = r"`step` \(0\) must count the steps: .* call gan\.end_step\(\) after the updates"
    with pytest.raises(ArgumentError, match=words):
        gan_core.run.Checkpoints(tmp_path, gan).save({})
    gan.end_step()
    assert step_of(save(gan_core.run.Checkpoints(tmp_path, gan), {})) == 1


def test_refuses_what_belongs_to_another_run(one_device, tmp_path):
    save(gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device)), {"data": "tiny"})
    other = gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device, batch_norm=False))
    before = tiny_gan.values(other._gan.generator)

    def refuse(facts):
        raise ArgumentError("data", "mnist", f"must be {facts['data']}", "go on with it")

    with pytest.raises(ArgumentError, match=r"`data` \(mnist\) must be tiny; go on with it"):
        other.restore_latest(refuse)
    with pytest.raises(ArgumentError, match=r"`checkpoint` .* does not fit these settings"):
        other.restore_latest()
    for a, b in zip(before, tiny_gan.values(other._gan.generator), strict=True):
        assert a.shape == b.shape


def test_networks_alone_are_restored_whatever_the_optimizers(one_device, tmp_path):
    trained = tiny_gan.build_gan(one_device)
    train(trained, one_device, 2)
    save(gan_core.run.Checkpoints(tmp_path, trained), {})
    other = tiny_gan.build_gan(one_device, optimizer=keras.optimizers.RMSprop)
    checkpoints = gan_core.run.Checkpoints(tmp_path, other)
    with pytest.raises(ArgumentError, match="does not fit these settings"):
        checkpoints.restore_latest()
    assert checkpoints.restore_latest(for_training=False)["step"] == 2
    for a, b in zip(
        tiny_gan.values(trained.generator), tiny_gan.values(other.generator), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_the_best_is_kept_besides_the_newest(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan, keep=2)
    for step, score in enumerate((5.0, 3.0, None, 4.0, 9.0), start=1):
        gan.step.assign(step)
        save(checkpoints, {}, score)
    assert [step_of(path) for path in checkpoints.paths()] == [2, 4, 5]


@pytest.mark.parametrize(
    ("damaged", "left"), [((), [1, 2]), ((2,), [1, 2]), ((1, 2), [1, 2, 3, 4])]
)
def test_what_came_after_the_best_is_dropped_if_anything_good_is_left(
    one_device, tmp_path, damaged, left
):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan, keep=9)
    for step, score in enumerate((None, 3.0, 4.0, 9.0), start=1):
        gan.step.assign(step)
        save(checkpoints, {}, score)
    for step in damaged:
        flip_a_bit(tmp_path / f"step_000000{step}")
    checkpoints.drop_later_than_best()
    assert [step_of(path) for path in checkpoints.paths()] == left


def test_facts_that_are_no_json_are_refused_before_anything_is_written(one_device, tmp_path):
    checkpoints = gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device))
    with pytest.raises(TypeError, match="float32 is not JSON serializable"):
        checkpoints.save({"rate": np.float32(0.1)})
    assert not list(tmp_path.iterdir())


def test_what_goes_wrong_in_the_background_is_not_called_saved(one_device, tmp_path, monkeypatch):
    checkpoints = gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device))

    def fail(folder):
        raise ValueError("no manifest")

    monkeypatch.setattr("gan_core.run.checkpoints.write_manifest", fail)
    checkpoints.save({})
    with pytest.raises(ValueError, match="no manifest"):
        checkpoints.wait()


def truncate(path):
    data = path / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    return r"variables.data-00000-of-00001 has \d+ bytes instead of \d+"


def flip_a_bit(path):
    data = path / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    return "variables.data-00000-of-00001 has a wrong checksum"


def lose_a_shard(path):
    (path / "variables.data-00000-of-00001").unlink()
    return "variables.data-00000-of-00001 is missing"


def lose_the_manifest(path):
    (path / "manifest.json").unlink()
    return "manifest.json is missing"


def garble_the_manifest(path):
    (path / "manifest.json").write_text('{"variables.index": {"by')
    return "its files cannot be read"


def change_the_facts(path):
    facts = path / "facts.json"
    facts.write_text(facts.read_text().replace("2", "3"))
    return "facts.json has a wrong checksum"


@pytest.mark.parametrize(
    "damage",
    [truncate, flip_a_bit, lose_a_shard, lose_the_manifest, garble_the_manifest, change_the_facts],
)
def test_a_damaged_one_is_named_set_aside_and_the_one_before_is_used(damage, one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan)
    for step in (1, 2):
        gan.step.assign(step)
        save(checkpoints, {})
    words = damage(tmp_path / "step_0000002")
    with pytest.warns(RuntimeWarning, match=rf"step_0000002 is damaged \({words}.*skipped"):
        assert checkpoints.restore_latest(read_only=True)["step"] == 1
    with pytest.warns(RuntimeWarning, match=rf"step_0000002 is damaged \({words}.*set aside as"):
        assert checkpoints.restore_latest()["step"] == 1
    assert int(gan.step.numpy()) == 1
    assert (tmp_path / "damaged_step_0000002").is_dir()
    gan.step.assign(2)
    save(checkpoints, {})
    assert checkpoints.restore_latest()["step"] == 2


def test_all_damaged_is_as_none(one_device, tmp_path):
    checkpoints = gan_core.run.Checkpoints(tmp_path, tiny_gan.build_gan(one_device))
    flip_a_bit(save(checkpoints, {}))
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert checkpoints.restore_latest() is None


def test_what_cannot_be_written_in_the_background_is_tried_again(one_device, tmp_path, monkeypatch):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan)
    save(checkpoints, {})
    failing = [True]

    def sync(path):
        if failing[0]:
            raise OSError("No space left on device")

    monkeypatch.setattr("gan_core.files.sync", sync)
    gan.step.assign(1)
    checkpoints.save({})
    with pytest.raises(OSError, match="No space left"):
        checkpoints.wait()
    checkpoints.save({})
    gan.step.assign(2)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save({})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000000"]
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save({})
    failing[0] = False
    checkpoints.save({})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000000", "step_0000002"]
    assert checkpoints.pause_seconds > 0


def test_a_full_disk_leaves_the_last_one_whole(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    checkpoints = gan_core.run.Checkpoints(tmp_path, gan)
    save(checkpoints, {})
    program = """
import resource, signal, sys
sys.path.insert(0, "tests")
import experiments, tiny_gan, gan_core, tensorflow as tf
from pathlib import Path
gan = tiny_gan.build_gan(tf.distribute.OneDeviceStrategy("CPU:0"))
gan.step.assign(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    gan_core.run.Checkpoints(Path(sys.argv[1]), gan).save({})
except OSError as error:
    print("refused:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert "refused: cannot write" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["step_0000000"]
    assert checkpoints.restore_latest()["step"] == 0
