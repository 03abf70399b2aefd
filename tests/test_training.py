"""One run and all that can happen to it: stops, changed settings, full disks, NaN."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from test_experiments import ROOT, SMALL, experiment_named, metrics

import gan_core
from experiments.program import main as runner
from experiments.tools.crash_test.comparing import TIMINGS, state
from gan_core import files as durable_files
from gan_core.run.checkpoint_files import find_damage

pytestmark = pytest.mark.usefixtures("forget_networks")

FEATURES = [
    "--discriminator_updates=2",
    "--r1_weight=0.5",
    "--r1_every_steps=3",
    "--average_half_life_images=100",
]


def run(*arguments, name="fashion_mnist_dcgan"):
    return runner.run(experiment_named(name), [*SMALL, *arguments])


def everything(workdir, step):
    return state(workdir / "checkpoints" / f"step_{step:07d}" / "variables")


def start(*arguments, name="fashion_mnist_dcgan"):
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{name}", *SMALL, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_without_timings(workdir):
    return [
        {name: value for name, value in line.items() if name not in TIMINGS}
        for line in metrics(workdir)
    ]


GAMES = {
    "usual": [],
    "r3gan": ["--loss=relativistic", "--r2_weight=0.5", "--augment=colour,translation,cutout"],
    "wgan_gp": ["--loss=wasserstein", "--wgan_gp_weight=10"],
}


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_stops_between_two_lines_change_nothing(game, tmp_path):
    """Dropout, batch norm, two discriminator updates, lazy R1 and an average of the weights."""
    options = [
        *FEATURES,
        *GAMES[game],
        "--log_every_steps=4",
        "--sample_every_steps=3",
        "--keep_checkpoints=9",
    ]
    peaceful, stopped = tmp_path / "peaceful", tmp_path / "stopped"
    assert run(*options, "--total_steps=8", f"--workdir={peaceful}") == 0
    for total_steps in (3, 5, 8):
        end = [f"--total_steps={total_steps}", f"--workdir={stopped}"]
        assert run(*options, *end) == 0
    one, other = everything(peaceful, 8), everything(stopped, 8)
    assert one.keys() == other.keys()
    assert any("generator_average" in name for name in one)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert lines_without_timings(peaceful) == lines_without_timings(stopped)
    assert [line["step"] for line in metrics(stopped)] == [4, 8]
    for name in ("samples/step_0000006.png", "samples/step_0000008.png", "training.gif"):
        assert (peaceful / name).read_bytes() == (stopped / name).read_bytes(), name
    assert not (stopped / "samples/step_0000005.png").exists()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_the_same_command_goes_on(number, tmp_path):
    command = [*FEATURES, "--total_steps=100000", f"--workdir={tmp_path}"]
    process = start(*command)
    try:
        while not (tmp_path / "metrics.jsonl").exists() or not metrics(tmp_path):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 75, errors
    step = max(gan_core.run.step_of(path) for path in (tmp_path / "checkpoints").glob("step_*"))
    for file in ("reals.png", "curves.png", "training.gif", f"samples/step_{step:07d}.png"):
        assert (tmp_path / file).stat().st_size, file
    assert (
        f"{number.name}: stopping after this call of steps; send it again to stop at once"
        in printed
    )
    assert f"saved at step {step:,}; run the same command to resume" in printed
    assert run(*command, f"--total_steps={step + 2}") == 0
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, step + 3))


def test_first_grids_come_early_and_once(tmp_path):
    """Also where they lie within a call of steps, and where the run stops between them."""
    options = ["--steps_per_call=20", "--log_every_steps=20", "--sample_every_steps=40"]
    options += ["--checkpoint_every_steps=40", f"--workdir={tmp_path}"]
    for total_steps in (17, 60):
        assert run(*options, f"--total_steps={total_steps}", name="fashion_mnist_gan") == 0
    steps = [gan_core.run.step_of(path) for path in sorted((tmp_path / "samples").iterdir())]
    assert steps == [0, 10, 25, 40, 60]
    assert [line["step"] for line in metrics(tmp_path)] == [20, 40, 60]


def test_goes_on_with_the_settings_of_the_run_in_the_workdir(tmp_path, capsys):
    workdir = f"--workdir={tmp_path}"
    assert run("--seed=3", "--r1_weight=0.5", workdir) == 0
    experiment = experiment_named("fashion_mnist_dcgan")
    assert runner.run(experiment, ["--mode=info", workdir]) == 0
    printed = capsys.readouterr().out
    assert "--seed=3\n" in printed
    assert "--split=test\n" in printed
    assert runner.run(experiment, ["--mode=generate", workdir]) == 0
    assert runner.run(experiment, ["--total_steps=4", workdir]) == 0
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4]
    assert runner.run(experiment_named("mnist_dcgan"), ["--mode=info", workdir]) == 2
    assert "holds a run of fashion_mnist_dcgan; run that exp" in capsys.readouterr().err


def test_a_refused_evaluation_leaves_the_settings_of_the_run_as_they_were(tmp_path, capsys):
    workdir = f"--workdir={tmp_path}"
    assert run(workdir) == 0
    settings = (tmp_path / "effective.flags").read_text()
    wrong = ["--extractor=file", f"--extractor_path={tmp_path}/none.keras"]
    judged = ["--total_steps=4", "--evaluate_every_steps=2", "--evaluation_samples=30"]
    assert run(workdir, *judged, *wrong) == 2
    assert "none.keras" in capsys.readouterr().err
    assert (tmp_path / "effective.flags").read_text() == settings
    assert run(workdir, "--total_steps=4") == 0


def test_the_folder_of_pictures_is_no_folder_of_a_run(tmp_path, capsys):
    pictures = [f"--dataset={tmp_path}", f"--workdir={tmp_path / 'x' / '..'}", "--split=train"]
    assert run(*pictures) == 2
    assert "must not be the folder of pictures" in capsys.readouterr().err


def test_says_where_there_is_no_room_for_the_checkpoints(tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(2**30, 2**30, 2**20)
    monkeypatch.setattr("experiments.program.build.shutil.disk_usage", lambda path: usage)
    with pytest.warns(RuntimeWarning, match=r"has 1 MiB of room, and checkpoints take up to [1-9]"):
        assert run("--mode=info", f"--workdir={tmp_path}") == 0


def test_a_second_process_on_the_workdir_is_refused(tmp_path):
    process = start("--total_steps=100000", f"--workdir={tmp_path}")
    try:
        while not (tmp_path / "reals.png").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        before = (tmp_path / "effective.flags").read_text()
        second = start("--total_steps=1", f"--workdir={tmp_path}")
        _, errors = second.communicate(timeout=120)
        assert second.returncode == 2
        assert f'"process_id": {process.pid}' in errors
        assert (tmp_path / "effective.flags").read_text() == before
    finally:
        process.kill()
        process.communicate()
    assert run(f"--workdir={tmp_path}", "--total_steps=2") == 0


CHANGES = [
    (["--seed=1"], "seed: was 0, now 1"),
    (["--global_batch_size=8"], "global_batch_size: was 4, now 8"),
    (["--optimizer=adam"], "optimizer: was rmsprop, now adam"),
    (["--beta_1=0.9"], "beta_1: was 0.5, now 0.9"),
    (["--discriminator_updates=2"], "discriminator_updates: was 1, now 2"),
    (["--r1_weight=1"], "r1_weight: was 0.0, now 1.0"),
    (["--r1_every_steps=2"], "r1_every_steps: was 1, now 2"),
    (["--r2_weight=1"], "r2_weight: was 0.0, now 1.0"),
    (["--wgan_gp_weight=1"], "wgan_gp_weight: was 0.0, now 1.0"),
    (["--loss=hinge"], "loss: was non_saturating, now hinge"),
    (["--augment=cutout"], "augment: was , now cutout"),
    (["--average_half_life_images=9"], "average_half_life_images: was 0.0, now 9.0"),
    (["--crop=random"], "crop: was centre, now random"),
    (["--flip"], "flip: was False, now True"),
    (["--precision=mixed_float16"], "precision: was float32, now mixed_float16"),
    (["--split=train"], "split: was test, now train"),
]


def times_of_change(folder):
    """Of all its files but those that say who holds it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files if path.stem != "run"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    assert run(f"--workdir={workdir}") == 0
    return workdir


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_changed_setting_is_refused_even_if_changes_are_allowed(change, words, trained, capsys):
    before = times_of_change(trained)
    assert run(f"--workdir={trained}", *change, "--allow_changes", "--total_steps=4") == 2
    error = capsys.readouterr().err
    assert f"holds a run with other settings ({words}" in error
    assert "start another in an empty folder" in error
    assert times_of_change(trained) == before


def test_another_experiment_and_other_latents_are_refused(trained, capsys, monkeypatch):
    assert run(f"--workdir={trained}", name="mnist_dcgan") == 2
    words = (
        "(experiment: was fashion_mnist_dcgan, now mnist_dcgan; latents: was NormalLatents(size="
    )
    assert words in capsys.readouterr().err


def test_safe_changes_are_listed_and_let_through_when_allowed(tmp_path, capsys):
    workdir = f"--workdir={tmp_path}"
    assert run(workdir) == 0
    changes = [
        "--total_steps=6", "--steps_per_call=2", "--log_every_steps=2", "--sample_every_steps=4",
        "--checkpoint_every_steps=4", "--generator_learning_rate=0.5", "--precision=mixed_bfloat16",
    ]  # fmt: skip
    capsys.readouterr()
    assert run(workdir, *changes) == 2
    error = capsys.readouterr().err
    listed = set(re.search(r"other settings \((.*?)\);", error)[1].split("; "))
    assert {"steps_per_call: was 1, now 2", "precision: was float32, now mixed_bfloat16"} <= listed
    assert "total_steps" not in error
    assert "or give --allow_changes" in error
    assert run(workdir, *changes, "--allow_changes") == 0
    printed = capsys.readouterr().out
    assert "changed: generator_learning_rate: was 0.0002, now 0.5" in printed
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 4, 6]
    # The second variable of an optimizer, after its iterations.
    rate = everything(tmp_path, 6)["generator_optimizer/1/.ATTRIBUTES/VARIABLE_VALUE"]
    assert rate == pytest.approx(0.5)


@pytest.mark.slow
def test_changed_intervals_lose_no_history(tmp_path):
    command = [f"--workdir={tmp_path}", "--checkpoint_every_steps=1", "--allow_changes"]
    assert run(*command, "--total_steps=6") == 0
    wider = ["--log_every_steps=10", "--sample_every_steps=10"]
    assert run(*command, *wider, "--total_steps=7") == 0
    assert run(*command, *wider, "--total_steps=12") == 0
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6, 10, 12]
    steps = [gan_core.run.step_of(path) for path in sorted((tmp_path / "samples").iterdir())]
    assert steps == [0, 2, 4, 6, 10, 12]


def test_a_crash_before_the_last_checkpoint_writes_the_end_again(tmp_path, monkeypatch):
    def refuse(samples, path):
        raise OSError("No space left on device")

    odd = ["--log_every_steps=2", "--total_steps=5", f"--workdir={tmp_path}"]
    monkeypatch.setattr("gan_core.run.recorder._write_film", refuse)
    assert run(*odd) == 74
    monkeypatch.undo()
    assert run(*odd) == 0
    assert [line["step"] for line in metrics(tmp_path)] == [2, 4, 5]
    assert (tmp_path / "training.gif").exists()


@pytest.mark.slow
def test_generates_from_the_average_that_the_samples_show(tmp_path):
    assert run(f"--workdir={tmp_path}", *FEATURES, "--total_steps=4") == 0
    arguments = ["--mode=generate", "--num_images=4", f"--workdir={tmp_path}"]
    assert run(*arguments, f"--output={tmp_path}/a") == 0
    assert run(*arguments, "--average_half_life_images=100", f"--output={tmp_path}/b") == 0
    for number in range(4):
        name = f"{number:06d}.png"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


class NotFiniteOnce(gan_core.Gan):
    """The generator's loss is NaN at step 4, unless the run went back before."""

    bad_rollbacks = 1

    def __init__(self, **arguments):
        super().__init__(**arguments)
        generator_terms = self.game.generator_terms

        def poisoned(outputs):
            is_bad = (self.step == 3) & (self.rollbacks < self.bad_rollbacks)
            poison = tf.where(is_bad, tf.constant(float("nan")), 1.0)
            return {name: term * poison for name, term in generator_terms(outputs).items()}

        self.game.generator_terms = poisoned


@pytest.fixture
def not_finite(monkeypatch):
    monkeypatch.setattr(gan_core, "Gan", NotFiniteOnce)
    return NotFiniteOnce


NAN = ["--total_steps=6", "--log_every_steps=1", "--checkpoint_every_steps=2"]


def test_not_finite_stops_names_the_term_and_saves_the_batch(not_finite, tmp_path, capsys):
    assert run(*NAN, f"--workdir={tmp_path}") == 70
    captured = capsys.readouterr()
    words = "not finite at step 4: generator/loss, generator/adversarial, generator/gradient"
    assert f"error: {words}; try lower learning rates, or on_nan=rollback" in captured.err
    assert f"{words}; the batch is in {tmp_path}/diagnosis/step_0000004.npz" in captured.out
    with np.load(tmp_path / "diagnosis" / "step_0000004.npz") as saved:
        np.testing.assert_array_equal(saved["numbers"], range(12, 16))
        assert saved["images"].shape == (4, 28, 28, 1)
    values = json.loads((tmp_path / "diagnosis" / "step_0000004.json").read_text())
    assert np.isfinite(values["discriminator/loss"])
    steps = [gan_core.run.step_of(path) for path in (tmp_path / "checkpoints").glob("step_*")]
    assert steps == [2]
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3]


def test_not_finite_rolls_back_and_goes_on_with_other_random_numbers(not_finite, tmp_path, capsys):
    assert run(*NAN, "--on_nan=rollback", f"--workdir={tmp_path}") == 0
    assert "rollback 1 of 3: resumes from step 2 with other random numbers" in (
        capsys.readouterr().out
    )
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert everything(tmp_path, 6)["rollbacks/.ATTRIBUTES/VARIABLE_VALUE"] == 1


def test_not_finite_rolls_back_to_the_start_and_only_so_often(
    not_finite, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(not_finite, "bad_rollbacks", 9)
    options = ["--on_nan=rollback", "--maximum_rollbacks=2", "--checkpoint_every_steps=6"]
    assert run(*NAN, *options, f"--workdir={tmp_path}") == 70
    captured = capsys.readouterr()
    assert "rollback 2 of 2: resumes from step 0" in captured.out
    assert "rollback 3" not in captured.out


def test_seconds_of_evaluations_between_two_lines_add_up():
    lines = []

    class Kept(gan_core.run.Writer):
        def write_scalars(self, step, scalars):
            lines.append((step, dict(scalars)))

    window = gan_core.run.MetricsWindow(tiny_gan.build_gan(tf.distribute.get_strategy()), Kept())
    for step in (1, 2, 4):
        window.note({"evaluation/seconds": 2.0 * step, "evaluation/step": step}, 2.0 * step)
        window.add(step, {"loss": tf.constant(1.0)})
        if step != 1:
            window.write(step, {})
    (_, first), (_, second) = lines
    assert (first["evaluation/seconds"], first["evaluation/step"]) == (6.0, 2)
    assert (second["evaluation/seconds"], second["evaluation/step"]) == (8.0, 4)


def fill_the_disk_after(monkeypatch, step, *, until=None):
    """Each file that is synced after `step` is refused, as on a full disk."""
    real = durable_files.sync
    state = {"step": 0}

    def sync(path):
        if state["step"] > step and (until is None or state["step"] <= until):
            raise OSError("No space left on device")
        real(path)

    real_add = gan_core.run.MetricsWindow.add

    def add(self, step, values):
        state["step"] = step
        real_add(self, step, values)

    monkeypatch.setattr("gan_core.files.sync", sync)
    monkeypatch.setattr(gan_core.run.MetricsWindow, "add", add)


DISK = ["--total_steps=9", "--checkpoint_every_steps=1", "--sample_every_steps=1"]


@pytest.mark.filterwarnings("ignore:step:RuntimeWarning")
def test_on_a_full_disk_it_goes_on_then_stops_with_the_last_checkpoint_whole(
    tmp_path, capsys, monkeypatch
):
    fill_the_disk_after(monkeypatch, 2)
    with pytest.warns(RuntimeWarning, match=r"step 3: samples cannot be written \(No space left"):
        assert run(*DISK, f"--workdir={tmp_path}") == 74
    error = capsys.readouterr().err
    assert "error: cannot write (No space left on device); the newest checkpoint is " in error
    # The second was perhaps still on its way to the disk.
    assert re.search("step_000000[12]; free some space and run the same command to resume", error)
    assert not list((tmp_path / "checkpoints").glob("partial_*"))
    monkeypatch.undo()
    assert run(*DISK, f"--workdir={tmp_path}") == 0
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, 10))


@pytest.mark.filterwarnings("ignore:step:RuntimeWarning")
def test_a_disk_that_has_room_again_leaves_no_gap(tmp_path, monkeypatch):
    fill_the_disk_after(monkeypatch, 2, until=4)
    with pytest.warns(RuntimeWarning, match="training continues, and the write is tried again"):
        assert run(*DISK, f"--workdir={tmp_path}") == 0
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, 10))
    steps = [gan_core.run.step_of(path) for path in (tmp_path / "checkpoints").glob("step_*")]
    assert max(steps) == 9
    assert find_damage(tmp_path / "checkpoints" / "step_0000009") is None


def test_a_real_full_disk_ends_with_its_exit_code(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own: this machine forbids mounts")
    try:
        process = start("--total_steps=100000", "--keep_checkpoints=99", f"--workdir={folder}/run")
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 74, errors
        assert "warning: step " in errors
        assert "checkpoint cannot be written (" in errors
        newest = max(Path(folder, "run/checkpoints").glob("step_*"))
        assert f"the newest checkpoint is {newest}" in errors
        assert find_damage(newest) is None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
