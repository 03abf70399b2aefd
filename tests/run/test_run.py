"""A run by the library alone, without flags; `test_training.py` tries the rest as users run it."""

import dataclasses
import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from tensorboard.compat.proto import event_pb2

import gan_core
from gan_core.run import RunRecord
from gan_core.run.checkpoint_files import write_manifest
from gan_core.run.record import Seconds, SecondsLedger, WindowRecord

PLAN = gan_core.run.Plan(
    total_steps=12,
    steps_per_call=2,
    log_every_steps=4,
    sample_every_steps=4,
    checkpoint_every_steps=4,
)


def quiet(words):
    del words


def make_run(strategy, folder, data=None, plan=PLAN, **arguments):
    gan = tiny_gan.build_gan(strategy, regularizers=[gan_core.Regularizer("r1", gan_core.r1, 0.5)])
    data = data or tiny_gan.source()
    program = gan_core.run.Program(say=quiet, **arguments.pop("program", {}))
    return gan, gan_core.run.Run(gan, data, folder, plan, program=program, **arguments)


def weights(gan):
    return [*tiny_gan.values(gan.generator), *tiny_gan.values(gan.discriminator)]


def lines(folder):
    timings = ("sec", "wait", "pause", "memory")
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not any(t in k for t in timings)} for line in found]


def test_a_stopped_run_goes_on_and_ends_bit_for_bit(one_device, tmp_path):
    at_rest, run = make_run(one_device, tmp_path / "rest")
    outcome = run.train()
    assert (outcome.ending, outcome.step) == (gan_core.run.Ending.DONE, 12)
    assert not outcome.is_failure

    def stop(step, metrics):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
            while signals.received is None:
                pass

    signals = gan_core.run.StopSignals()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_core.run.run.StopSignals", lambda announce: signals)
        _, run = make_run(one_device, tmp_path / "stopped", hooks=[stop])
        outcome = run.train()
    assert (outcome.ending, outcome.step) == (gan_core.run.Ending.STOPPED, 6)
    gan, run = make_run(one_device, tmp_path / "stopped")
    assert run.train().ending is gan_core.run.Ending.DONE
    for expected, found in zip(weights(at_rest), weights(gan), strict=True):
        np.testing.assert_array_equal(expected, found)
    assert lines(tmp_path / "rest") == lines(tmp_path / "stopped")
    assert [line["step"] for line in lines(tmp_path / "rest")] == [4, 8, 12]
    for name in ("reals.png", "curves.png", "training.gif", "samples/step_0000012.png"):
        files = [(tmp_path / which / name).read_bytes() for which in ("rest", "stopped")]
        assert files[0], name
        if name != "curves.png":
            assert files[0] == files[1], name


def test_a_hook_stops_a_run_which_goes_on_and_ends_bit_for_bit(one_device, tmp_path):
    at_rest, run = make_run(one_device, tmp_path / "rest")
    run.train()
    hook = gan_core.run.Every(6, lambda step, metrics: True)
    outcome = make_run(one_device, tmp_path / "stopped", hooks=[hook])[1].train()
    assert (outcome.ending, outcome.step) == (gan_core.run.Ending.STOPPED, 6)
    gan, run = make_run(one_device, tmp_path / "stopped", hooks=[hook])
    assert run.train().ending is gan_core.run.Ending.DONE
    for expected, found in zip(weights(at_rest), weights(gan), strict=True):
        np.testing.assert_array_equal(expected, found)
    assert lines(tmp_path / "rest") == lines(tmp_path / "stopped")


def test_refuses_a_hook_at_whose_steps_no_call_ends(one_device, tmp_path):
    hook = gan_core.run.Every(3, lambda step, metrics: None)
    with pytest.raises(gan_core.ArgumentError, match=r"`steps_per_call` \(2\) must divide"):
        make_run(one_device, tmp_path, hooks=[hook])


def test_a_finished_run_has_nothing_to_do(one_device, tmp_path):
    make_run(one_device, tmp_path)[1].train()
    gan, run = make_run(one_device, tmp_path)
    outcome = run.train()
    assert (outcome.ending, outcome.step) == (gan_core.run.Ending.DONE, 12)
    assert outcome.words.startswith("nothing to do: step 12 is reached")
    longer = dataclasses.replace(PLAN, total_steps=16)
    gan, run = make_run(one_device, tmp_path, plan=longer)
    assert run.train().step == 16
    assert int(gan.step.numpy()) == 16


def test_another_run_is_refused_by_name_of_what_differs(one_device, tmp_path):
    make_run(one_device, tmp_path, program={"settings": {"width": 3}})[1].train()
    program = {"settings": {"width": 4}}
    for data, changes in (
        (tiny_gan.source(), r"\(width: was 3, now 4\)"),
        (
            tiny_gan.source(40),
            r"\(number of images: was 37, now 40; content of the data: was \w{16}, now \w{16}; "
            r"width: was 3, now 4\)",
        ),
    ):
        _, run = make_run(one_device, tmp_path, data=data, program=program)
        for action in (run.check, run.train):
            with pytest.raises(gan_core.ArgumentError, match=f"holds another run {changes}"):
                action()


def test_an_identity_is_compared_as_json(one_device, tmp_path):
    for steps in (12, 14):
        program = {"settings": {"shape": (8, 8)}, "facts": {"by": {1: "a"}}}
        plan = dataclasses.replace(PLAN, total_steps=steps)
        assert make_run(one_device, tmp_path, plan=plan, program=program)[1].train().step == steps
    with pytest.raises(
        gan_core.ArgumentError, match=r"`settings` .* must be JSON \(Object of type"
    ):
        gan_core.run.Program(settings={"rate": np.float32(0.1)})


def test_check_writes_nothing(one_device, tmp_path):
    make_run(one_device, tmp_path / "run")[1].check()
    assert not list(tmp_path.iterdir())


def test_own_batches_and_pictures(one_device, tmp_path):
    starts = []

    def make_batches(first_image):
        starts.append(first_image)
        return gan_core.data.image_batches(
            tiny_gan.source(), global_batch_size=8, strategy=one_device, first_image=first_image
        )

    def picture():
        return np.full((8, 400, 3), int(gan.step.numpy()), np.uint8)

    expected, run = make_run(one_device, tmp_path / "source")
    run.train()
    half = dataclasses.replace(PLAN, total_steps=8)
    for plan in (half, PLAN):
        program = {"make_picture": picture}
        gan, run = make_run(one_device, tmp_path / "own", make_batches, plan, program=program)
        assert run.train().ending is gan_core.run.Ending.DONE
    assert starts == [0, 64]
    for one, other in zip(weights(expected), weights(gan), strict=True):
        np.testing.assert_array_equal(one, other)
    grid = tf.io.decode_png((tmp_path / "own/samples/step_0000012.png").read_bytes())
    assert (grid.numpy()[:8] == 12).all()


class NotFiniteOnce(gan_core.Game):
    """At step 5, counted from 0, the generator's loss is not finite; not after a rollback."""

    def generator_terms(self, outputs):
        is_bad = (self.gan.step == 5) & (self.gan.rollbacks < self.rollbacks_needed)
        terms = super().generator_terms(outputs)
        return {name: tf.where(is_bad, np.nan, term) for name, term in terms.items()}


@pytest.mark.parametrize(
    ("on_nan", "needed", "ending"),
    [("stop", 1, "NOT_FINITE"), ("rollback", 1, "DONE"), ("rollback", 9, "NOT_FINITE")],
)
def test_a_loss_that_is_not_finite(one_device, tmp_path, on_nan, needed, ending, capsys):
    plan = dataclasses.replace(PLAN, on_nan=on_nan, maximum_rollbacks=2)
    said = []
    outcome = not_finite_at_5(one_device, tmp_path, needed, said.append, plan=plan).train()
    assert outcome.ending is gan_core.run.Ending[ending]
    assert outcome.is_failure == (ending != "DONE")
    assert "error: not finite at step 6: generator/loss" in capsys.readouterr().err or not (
        outcome.is_failure
    )
    batch = np.load(tmp_path / "diagnosis/step_0000006.npz")
    np.testing.assert_array_equal(batch["numbers"], np.arange(40, 48))
    rollbacks = [words for words in said if words.startswith("rollback")]
    assert len(rollbacks) == {"stop": 0, "rollback": min(needed, 2)}[on_nan]


def not_finite_at_5(strategy, folder, rollbacks_needed=1, say=quiet, **arguments):
    game = NotFiniteOnce()
    game.gan = tiny_gan.build_gan(strategy, game=game)
    game.rollbacks_needed = rollbacks_needed
    program = gan_core.run.Program(say=say)
    return gan_core.run.Run(game.gan, tiny_gan.source(), folder, program=program, **arguments)


def test_a_rollback_that_finds_no_checkpoint_ends_the_run(one_device, tmp_path):
    """With the weights of the step that failed it must not go on."""

    def lose_the_checkpoints(step, metrics):
        shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)

    plan = dataclasses.replace(PLAN, on_nan="rollback", checkpoint_every_steps=12)
    run = not_finite_at_5(one_device, tmp_path, plan=plan, hooks=[lose_the_checkpoints])
    assert run.train().ending is gan_core.run.Ending.NOT_FINITE


def test_a_log_that_is_refused_does_not_hide_a_loss_that_is_not_finite(
    one_device, tmp_path, monkeypatch
):
    append = gan_core.files.append_durably

    def refuse(path, content):
        if path.name == "metrics.jsonl":
            raise OSError(28, "No space left on device")
        append(path, content)

    monkeypatch.setattr("gan_core.run.writers.append_durably", refuse)
    said = []
    with pytest.warns(RuntimeWarning, match="metrics cannot be written"):
        outcome = not_finite_at_5(one_device, tmp_path, say=said.append, plan=PLAN).train()
    assert outcome.ending is gan_core.run.Ending.NOT_FINITE
    assert (tmp_path / "diagnosis/step_0000006.npz").exists()
    assert any("lines or grids could not be written" in words for words in said)


def test_a_run_ends_when_its_time_is_up_and_goes_on_with_more(one_device, tmp_path, monkeypatch):
    """A clock by which each call of steps takes a minute; the run without a limit is the oracle."""
    _, run = make_run(one_device, tmp_path / "whole")
    run.train()
    after_call = gan_core.run.recorder.Recorder.after_call

    def a_minute_later(recorder, *arguments, **named):
        recorder._ledger._started -= 60
        return after_call(recorder, *arguments, **named)

    monkeypatch.setattr("gan_core.run.recorder.Recorder.after_call", a_minute_later)
    for minutes, ending, step in (
        (4, gan_core.run.Ending.TIME_IS_UP, 6),
        (4, gan_core.run.Ending.TIME_IS_UP, 6),
        (100, gan_core.run.Ending.DONE, 12),
    ):
        plan = dataclasses.replace(PLAN, total_minutes=minutes)
        _, run = make_run(one_device, tmp_path / "timed", plan=plan)
        outcome = run.train()
        assert (outcome.ending, outcome.step) == (ending, step)
        assert not outcome.is_failure
        if ending is gan_core.run.Ending.TIME_IS_UP:
            assert "give a larger total_minutes" in outcome.words
            assert (tmp_path / "timed/training.gif").exists()
    assert lines(tmp_path / "whole") == lines(tmp_path / "timed")


class Killed(BaseException):
    """As if the process were gone: nothing in the run catches it."""


def samples(folder):
    return {path.name: path.read_bytes() for path in (folder / "samples").iterdir()}


@pytest.mark.parametrize("moment", ["_write_last", "close"])
def test_killed_at_its_end_it_still_writes_its_last_files(
    moment, one_device, tmp_path, monkeypatch
):
    plan = dataclasses.replace(PLAN, total_steps=10)  # off the intervals of lines and grids
    make_run(one_device, tmp_path / "whole", plan=plan)[1].train()

    def killed(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"gan_core.run.recorder.Recorder.{moment}", killed)
        if moment == "close":  # everything is there but for the word that it is
            patch.setattr("gan_core.run.recorder.write_durably", lambda *_: None)
        with pytest.raises(Killed):
            make_run(one_device, tmp_path / "killed", plan=plan)[1].train()
    assert (tmp_path / "killed/checkpoints/step_0000010").is_dir()  # nothing is done again
    for _ in range(2):
        outcome = make_run(one_device, tmp_path / "killed", plan=plan)[1].train()
        assert (outcome.ending, outcome.step) == (gan_core.run.Ending.DONE, 10)
        names = [{p.name for p in (tmp_path / n).iterdir()} for n in ("whole", "killed")]
        assert names[0] == names[1]
        assert samples(tmp_path / "whole") == samples(tmp_path / "killed")
        assert lines(tmp_path / "whole") == lines(tmp_path / "killed")
    assert "nothing to do" in outcome.words


def test_killed_on_its_way_to_a_later_end_it_still_writes_those_of_the_first(one_device, tmp_path):
    plan = dataclasses.replace(PLAN, total_steps=10, checkpoint_every_steps=20)
    make_run(one_device, tmp_path / "whole", plan=plan)[1].train()
    make_run(one_device, tmp_path / "killed", plan=plan)[1].train()

    def kill(step, metrics):
        raise Killed

    longer = dataclasses.replace(plan, total_steps=20)
    with pytest.raises(Killed):
        make_run(one_device, tmp_path / "killed", plan=longer, hooks=[kill])[1].train()
    outcome = make_run(one_device, tmp_path / "killed", plan=plan)[1].train()
    assert outcome.words.startswith("nothing to do: step 10")
    assert samples(tmp_path / "whole") == samples(tmp_path / "killed")
    assert lines(tmp_path / "whole") == lines(tmp_path / "killed")


@pytest.mark.parametrize("refused", ["metrics.jsonl", "samples", "tensorboard"])
def test_what_the_disk_refuses_is_not_lost_over_a_kill(refused, one_device, tmp_path, monkeypatch):
    """Refused from step 4 on and killed at step 10; then there is room again."""
    make_run(one_device, tmp_path / "whole")[1].train()
    is_full = False

    def refusing(write):
        def refuse(path, *arguments):
            if is_full and refused in str(path):
                raise OSError(28, "No space left on device")
            return write(path, *arguments)

        return refuse

    def kill(step, metrics):
        nonlocal is_full
        is_full = step >= 3
        if step == 10:
            raise Killed

    with monkeypatch.context() as patch:
        for name in ("append_durably", "write_durably"):
            patch.setattr(f"gan_core.run.writers.{name}", refusing(getattr(gan_core.files, name)))
        patch.setattr("gan_core.run.recorder.Recorder.close", lambda outputs: None)
        with pytest.warns(RuntimeWarning, match="cannot be written"), pytest.raises(Killed):
            make_run(one_device, tmp_path / "killed", hooks=[kill])[1].train()
    assert make_run(one_device, tmp_path / "killed")[1].train().step == 12
    assert lines(tmp_path / "whole") == lines(tmp_path / "killed")
    assert samples(tmp_path / "whole") == samples(tmp_path / "killed")
    assert events(tmp_path / "whole") == events(tmp_path / "killed")


def events(folder):
    """Steps and names of all events in order, but for those of step 0: each start has its own."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            found += [(event.step, value.tag) for value in event.summary.value if event.step]
    return found


def test_other_data_of_the_same_name_and_number_are_refused(one_device, tmp_path):
    make_run(one_device, tmp_path)[1].train()
    same = tiny_gan.source()
    images, labels = same.images.copy(), same.labels.copy()
    images[7, 3, 3, 0] ^= 1
    labels[5] += 1
    for other in (
        gan_core.data.ImageSource(same.name, images, same.labels),
        gan_core.data.ImageSource(same.name, same.images, labels),
    ):
        with pytest.raises(gan_core.ArgumentError, match=r"\(content of the data: was \w+, now \w"):
            make_run(one_device, tmp_path, data=other)[1].train()
    # Runs of earlier versions did not keep the content: they go on.
    for path in tmp_path.glob("checkpoints/*/facts.json"):
        facts = json.loads(path.read_text())
        del facts["content of the data"]
        path.write_text(json.dumps(facts))
        (path.parent / "manifest.json").unlink()
        write_manifest(path.parent)
    plan = dataclasses.replace(PLAN, total_steps=14)
    assert make_run(one_device, tmp_path, plan=plan)[1].train().step == 14


def test_records_survive_json():
    window, seconds = WindowRecord(4, {"a": 0.1}), Seconds(2.5, 0.5, 0.25)
    record = RunRecord({"data": "tiny"}, {"seed": 1}, window, 4, seconds=seconds)
    facts = json.loads(json.dumps({"step": 6, "score": None, **record.facts()}))
    assert RunRecord.from_facts(facts) == record
    outputs = facts["outputs"]
    assert outputs["metrics_window"]["seconds"] == 2.5
    assert (outputs["evaluation"]["seconds"], outputs["evaluation"]["last_seconds"]) == (0.5, 0.25)
    assert record.training_seconds == 2.0


def test_the_ledger_counts_from_its_start_and_evaluations_apart():
    now = [100.0]
    ledger = SecondsLedger(Seconds(50.0, 20.0, 4.0), clock=lambda: now[0])
    now[0] += 1000
    assert ledger.now() == Seconds(50.0, 20.0, 4.0)
    ledger.start()
    now[0] += 10
    with ledger.evaluation():
        now[0] += 3
    assert ledger.now() == Seconds(63.0, 23.0, 3.0)
    assert ledger.now().training == 40.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": -1}, "total_steps"),
        ({"total_steps": 10, "steps_per_call": 0}, "steps_per_call"),
        ({"total_steps": 10, "steps_per_call": 30}, "must divide `log_every_steps`"),
        ({"total_steps": 10, "keep_checkpoints": 0}, "keep_checkpoints"),
        ({"total_steps": 10, "total_minutes": 0}, "total_minutes"),
        ({"total_steps": 10, "total_minutes": float("nan")}, "total_minutes"),
        ({"total_steps": 10, "on_nan": "ignore"}, "on_nan"),
    ],
)
def test_plans_that_cannot_work(arguments, message):
    with pytest.raises(gan_core.ArgumentError, match=message):
        gan_core.run.Plan(**arguments)
