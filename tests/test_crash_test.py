"""The proof that faults lose nothing, in short; and that it would see a loss."""

import json
import random
import re
import signal
import subprocess
import sys

import pytest
from sizes import size

from experiments.tools.crash_test import faults
from experiments.tools.crash_test.comparing import differences
from experiments.tools.crash_test.kills import remove, run_in_peace, run_with_kills
from experiments.tools.crash_test.plan import Plan
from experiments.tools.crash_test.refusals import refusable, run_with_refusals
from experiments.tools.crash_test.starts import Start

FEATURES = (
    "--global_batch_size=4",
    "--discriminator_updates=2",
    "--r1_weight=0.5",
    "--r1_every_steps=3",
    "--average_half_life_images=100",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    plan = Plan("fashion_mnist_gan", total_steps=8)
    folder = tmp_path_factory.mktemp("tiny")
    return plan, run_in_peace(plan, folder / "in_peace"), folder


def test_an_experiment_that_is_none_is_refused_before_anything_starts():
    command = [sys.executable, "-m", "experiments.tools.crash_test", "--experiment=none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "`experiment` (none) must be an experiment" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("devices", [(1,), pytest.param((2,), marks=pytest.mark.full), (1, 2, 1)])
def test_killed_at_all_moments_it_ends_as_if_it_never_was(devices, tmp_path):
    # Dropout draws other numbers on other devices.
    experiment = "fashion_mnist_dcgan" if len(devices) == 1 else "fashion_mnist_gan"
    plan = Plan(experiment, FEATURES, virtual_devices=devices, seed=random.randrange(1000))
    peace = run_in_peace(plan, tmp_path / "in_peace")
    _, lost = run_with_kills(plan, peace, tmp_path, size(4, 20))
    assert not lost, plan


@pytest.mark.slow
def test_stopped_by_a_signal_it_ends_as_if_it_never_was(tmp_path):
    """With deterministic kernels, where TensorFlow's clock is refused."""
    extra = (*FEATURES, "--deterministic")
    plan = Plan("fashion_mnist_dcgan", extra, signal_name="TERM", seed=random.randrange(1000))
    peace = run_in_peace(plan, tmp_path / "in_peace")
    assert "data_wait" not in (peace.workdir / "metrics.jsonl").read_text()
    _, lost = run_with_kills(plan, peace, tmp_path, size(3, 10))
    assert not lost, plan


@pytest.mark.slow
def test_each_write_may_be_refused_once(tiny):
    plan, peace, folder = tiny
    number_of_writes = len(refusable(peace))
    numbers = random.sample(range(1, number_of_writes + 1), size(8, number_of_writes))
    _, lost = run_with_refusals(plan, peace, folder, numbers)
    assert not lost, numbers


@pytest.mark.slow
def test_it_sees_what_is_lost(tiny):
    plan, peace, folder = tiny
    other = Plan("fashion_mnist_gan", (*plan.extra_flags, "--seed=1"), total_steps=8)
    disturbed = run_in_peace(other, folder / "other").workdir
    found = "\n".join(differences(plan, peace.workdir, disturbed))
    for words in ("variables differ by", "step_0000008.png differs", "generator/loss of step 4"):
        assert words in found
    (disturbed / "metrics.jsonl").write_text(json.dumps({"step": 8}) + "\n")
    (disturbed / "training.gif").unlink()
    found = differences(plan, peace.workdir, disturbed)
    assert "other/metrics.jsonl does not have each step once" in found
    assert "training.gif is in one run only" in found


@pytest.mark.slow
def test_a_write_is_where_it_is_killed_or_refused(tiny):
    plan, peace, folder = tiny
    number = next(n for n, write in enumerate(peace.writes, 1) if "metrics.jsonl" in write)
    workdir = folder / "killed"
    start = Start(plan.experiment, plan.train(workdir), workdir, faults.Fault(at=number))
    assert start.end() == -signal.SIGKILL
    assert len(start.writes) == number
    assert not (workdir / "metrics.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["/metrics.jsonl", "/.partial_curves.png", "/.partial_step_"])
def test_what_the_disk_refuses_last_is_written_at_the_end(name, tiny):
    plan, peace, folder = tiny
    below = f"^{re.escape(str(folder / 'late'))}.*{re.escape(name)}"
    times = sum(name in write for write in refusable(peace))
    workdir = folder / "late"
    found = []
    for at in range(max(1, times - 4), times + 1):
        remove(workdir)
        fault = faults.Fault(action=faults.REFUSE, at=at, below=below)
        start = Start(plan.experiment, plan.train(workdir), workdir, fault)
        found.append(start.end() == 0 and "No space left on device" in start.printed)
        if not found[-1]:
            start = Start(plan.experiment, plan.train(workdir), workdir)
            assert start.end() == 0, start.printed
        assert not differences(plan, peace.workdir, workdir), at
    assert any(found)
