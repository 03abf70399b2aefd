"""Training with several worker processes on this machine compared to one process."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_experiments import ROOT, SMALL, metrics
from test_training import FEATURES, everything, lines_without_timings

import gan_core
from experiments.program.launcher import Children, _free_ports
from experiments.tools.crash_test.comparing import relative_differences

# Without batch normalization and dropout, workers compute what one process does.
COMMAND = [sys.executable, "-m", "experiments.fashion_mnist_gan", *SMALL]
LIMIT_SECONDS = 60


def run(*arguments):
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_worker(index, ports, *arguments):
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    return subprocess.Popen(
        [*COMMAND, "--strategy=multi_worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": config},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_workers(*arguments):
    ports = _free_ports(2)
    return [start_worker(index, ports, *arguments) for index in range(2)]


def wait_for_checkpoint(workdir, workers, step):
    end = time.monotonic() + 200
    while not any(
        gan_core.run.step_of(path) >= step for path in workdir.glob("checkpoints/step_*")
    ):
        assert all(worker.poll() is None for worker in workers), workers[0].communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("two_workers")
    printed = run(*LONG, "--workers=2", "--strategy=auto", f"--workdir={workdir}")
    assert "MultiWorkerMirroredStrategy, 2 replicas on 2 workers with CPU:0 each" in printed
    return workdir


LONG = ["--total_steps=150", "--log_every_steps=5", "--sample_every_steps=50"]


@pytest.mark.slow
def test_two_workers_equal_two_devices_equal_one(tmp_path):
    few = ["--total_steps=20", "--checkpoint_every_steps=20"]
    run(*few, "--workers=2", "--strategy=auto", f"--workdir={tmp_path}/workers")
    run(*few, "--virtual_devices=2", "--strategy=mirrored", f"--workdir={tmp_path}/devices")
    run(*few, f"--workdir={tmp_path}/one")
    one = everything(tmp_path / "one", 20)
    for other in ("workers", "devices"):
        differences = relative_differences(one, everything(tmp_path / other, 20))
        assert max(differences.values()) < 1e-5, differences
    assert sorted(path.name for path in (tmp_path / "workers").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )


@pytest.mark.slow
def test_workers_end_their_calls_at_the_steps_of_the_chiefs_grids(tmp_path):
    """Workers whose calls ended at different steps would wait for each other for ever."""
    options = ["--steps_per_call=20", "--log_every_steps=20", "--sample_every_steps=40"]
    options += ["--checkpoint_every_steps=40", "--total_steps=40"]
    run(*options, "--workers=2", "--strategy=auto", f"--workdir={tmp_path}")
    steps = [gan_core.run.step_of(path) for path in sorted((tmp_path / "samples").iterdir())]
    assert steps == [0, 10, 25, 40]
    assert [line["step"] for line in metrics(tmp_path)] == [20, 40]


@pytest.mark.slow
def test_every_kind_of_layer_and_update_on_two_workers_as_on_two_devices(tmp_path):
    """Dropout, synchronized batch norm, two discriminator updates, lazy R1, an average.

    Losses, not weights: a bias before batch normalization has no gradient but rounding.
    """
    command = [*COMMAND, *FEATURES, "--batch_norm=synchronized", "--total_steps=4"]
    command[2] = "experiments.fashion_mnist_dcgan"
    kinds = {"workers": ["--workers=2"], "devices": ["--virtual_devices=2", "--strategy=mirrored"]}
    for name, options in kinds.items():
        workdir = f"--workdir={tmp_path}/{name}"
        done = subprocess.run(
            [*command, *options, workdir], cwd=ROOT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    workers, devices = (lines_without_timings(tmp_path / name) for name in kinds)
    assert len(workers) == 4
    for one, other in zip(workers, devices, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_a_killed_worker_is_noticed_and_all_resume_exactly(two_workers, tmp_path):
    arguments = [*LONG, f"--workdir={tmp_path}"]
    workers = start_workers(*arguments)
    try:
        wait_for_checkpoint(tmp_path, workers, 10)
        workers[1].kill()
        _, errors = workers[0].communicate(timeout=LIMIT_SECONDS)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert workers[0].returncode == 69, errors
    assert "error: another worker is gone (" in errors
    assert "run the same command on all workers" in errors
    workers = start_workers(*arguments)
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
    one, other = everything(two_workers, 150), everything(tmp_path, 150)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert lines_without_timings(two_workers) == lines_without_timings(tmp_path)


def test_a_signal_to_one_worker_stops_all(tmp_path):
    workers = start_workers("--total_steps=100000", f"--workdir={tmp_path}")
    try:
        wait_for_checkpoint(tmp_path, workers, 2)
        workers[1].send_signal(signal.SIGTERM)
        for worker in workers:
            printed, errors = worker.communicate(timeout=LIMIT_SECONDS)
            assert worker.returncode == 75, errors
            assert not errors
            assert ("run the same command to resume" in printed) == (worker is workers[0])
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    steps = [line["step"] for line in metrics(tmp_path)]
    assert steps == list(range(1, steps[-1] + 1))


@pytest.mark.slow
@pytest.mark.parametrize("in_the_way", ["reals.png", "training.gif"])
def test_all_workers_end_if_the_chief_cannot_write(in_the_way, tmp_path):
    """At the start or the end of a run, because a folder has the name of a file."""
    (tmp_path / in_the_way / "full").mkdir(parents=True)
    workers = start_workers("--total_steps=4", f"--workdir={tmp_path}")
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=LIMIT_SECONDS)
            assert worker.returncode == 74, errors
            assert "cannot write (" in errors
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


CHILD = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_children_receive_the_signals_of_this_process(sent):
    before = signal.getsignal(sent)
    with Children() as children:
        first = children.start([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
        assert first.stdout.readline() == b"ready\n"
        for _ in range(2 if sent == signal.SIGHUP else 1):
            os.kill(os.getpid(), sent)
        assert first.wait(LIMIT_SECONDS) == 7
        assert children.received == [signal.SIGTERM]
        second = children.start([sys.executable, "-c", CHILD])  # a signal came before its start
        assert second.wait(LIMIT_SECONDS) == -signal.SIGTERM
    first.stdout.close()
    assert signal.getsignal(sent) == before


@pytest.mark.slow
def test_the_launcher_passes_a_signal_on(tmp_path):
    launcher = subprocess.Popen(
        [*COMMAND, "--total_steps=100000", "--workers=2", f"--workdir={tmp_path}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for_checkpoint(tmp_path, [launcher], 2)
        launcher.send_signal(signal.SIGINT)
        printed, errors = launcher.communicate(timeout=LIMIT_SECONDS)
    finally:
        launcher.kill()
        launcher.wait()
    assert launcher.returncode == 75, errors
    assert "saved at step" in printed


def test_an_error_of_all_workers_is_printed_once(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    where = [f"--dataset={tmp_path}/pictures", f"--workdir={tmp_path}/run"]
    command = [argument for argument in COMMAND if not argument.startswith("--split")]
    done = subprocess.run(
        [*command, "--workers=2", *where],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "holds a bad picture: it is not a picture" in done.stderr


@pytest.mark.slow
def test_the_chief_evaluates_for_all_workers(tmp_path):
    """All end when the chief decides so."""
    options = ["--evaluate_every_steps=5", "--evaluation_time_share=1", "--evaluation_samples=40"]
    options += ["--extractor=random_convolutions", "--total_steps=20", "--log_every_steps=5"]
    kinds = {"workers": "--workers=2", "one": "--workers=1"}
    found = {}
    for name, kind in kinds.items():
        run(*options, kind, "--strategy=auto", f"--workdir={tmp_path}/{name}")
        found[name] = [
            value
            for line in metrics(tmp_path / name)
            for key, value in line.items()
            if key.startswith("evaluation/frechet_distance@")
        ]
    assert len(found["one"]) == 4
    assert found["workers"] == pytest.approx(found["one"], rel=1e-3)
    stop = ["--stop_after_no_improvement=1", "--total_steps=100000", "--generator_learning_rate=9"]
    stop += ["--allow_changes", f"--workdir={tmp_path}/workers", "--workers=2", "--strategy=auto"]
    assert "no better in 1 evaluations; the best checkpoint is of step" in run(*options, *stop)
