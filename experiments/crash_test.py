"""Proof that nothing is lost: a run is killed again and again, and ends as if it never was.

    python -m experiments.crash_test --experiment=svhn_dcgan --kills=50

trains an experiment twice in processes of their own, once in peace and once killed at random
moments (while starting, between two steps, while a checkpoint is being written) and started again
with the same command, then compares the two folders: weights, optimizers and counters, every line
of the metrics, the events for TensorBoard and every sample.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import app, flags
from etils import epy
from tqdm import tqdm

import gan_core
from experiments import exit_codes
from experiments.quiet_startup import import_tensorflow_quietly

with epy.lazy_imports():
    import tensorflow as tf

_STEPS_PER_CALL = 2
_LOG_EVERY = 4
_SAMPLE_EVERY = 20
_CHECKPOINT_EVERY = 2
_TIMINGS = {
    "seconds", "images_per_sec", "steps_per_sec", "data_wait", "checkpoint_pause", "memory_gib",
    "evaluation/seconds",
}  # fmt: skip
_PATIENCE_SECONDS = 300
_KINDS = ("start", "step", "checkpoint")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to train and how to disturb it.

    Attributes:
      experiment: Name of the module.
      extra_flags: Flags for it beside those of this test.
      total_steps: Steps of the run, a multiple of 4.
      kills: How often it is killed.
      signal_name: `KILL`, or `TERM`, on which a run saves and ends by itself.
      virtual_devices: Numbers of devices, taken in turn by one start after the other.
      seed: Seed of the moments.
    """

    experiment: str
    extra_flags: tuple[str, ...]
    total_steps: int
    kills: int
    signal_name: str = "KILL"
    virtual_devices: tuple[int, ...] = (1,)
    seed: int = 0

    def command(self, workdir: Path, virtual_devices: int) -> list[str]:
        """The command of one start."""
        return [
            sys.executable,
            "-m",
            f"experiments.{self.experiment}",
            f"--flagfile={os.devnull}",  # its own defaults: no evaluations, which take other times
            "--dataset=drawn_digits",
            "--split=test",
            "--strategy=auto",
            f"--virtual_devices={virtual_devices}",
            f"--workdir={workdir}",
            f"--total_steps={self.total_steps}",
            f"--steps_per_call={_STEPS_PER_CALL}",
            f"--log_every_steps={_LOG_EVERY}",
            f"--sample_every_steps={_SAMPLE_EVERY}",
            f"--checkpoint_every_steps={_CHECKPOINT_EVERY}",
            *(["--allow_changes"] if len(self.virtual_devices) > 1 else []),
            *self.extra_flags,
        ]


def run_in_peace(plan: Plan, workdir: Path) -> None:
    """Trains from the first step to the last in one process, on the first number of devices."""
    command = plan.command(workdir, plan.virtual_devices[0])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run_with_kills(plan: Plan, workdir: Path) -> Counter:
    """Trains with kills at random moments; returns how many came when.

    Raises:
      RuntimeError: If a start fails by itself, or the run ended before all kills were done.
    """
    choose = random.Random(plan.seed)
    counts: Counter = Counter()
    with tqdm(total=plan.kills, unit=" kills", disable=None) as bar:
        for start in range(plan.kills):
            devices = plan.virtual_devices[start % len(plan.virtual_devices)]
            kind = choose.choice(_KINDS)
            code, kind = _start_and_kill(plan, workdir, devices, kind, choose)
            if code == 0:
                raise RuntimeError(
                    f"the run ended after {start} kills: give more --total_steps for so many"
                )
            counts[kind] += 1
            bar.update()
    final = plan.virtual_devices[plan.kills % len(plan.virtual_devices)]
    subprocess.run(plan.command(workdir, final), check=True, stdout=subprocess.DEVNULL)
    return counts


def differences(plan: Plan, peaceful: Path, killed: Path) -> tuple[list[str], float]:
    """What differs between the two runs, and the largest relative difference of a network's state.

    The relative difference of a group of variables (a network, an optimizer) is |a - b| / |a| over
    all of them as one vector. Samples are compared only between runs on equal devices.
    """
    found = []
    last_step = f"step_{plan.total_steps:07d}"
    states = [_state(run / "checkpoints" / last_step / "variables") for run in (peaceful, killed)]
    relative = 0.0
    if states[0].keys() != states[1].keys():
        found.append("the checkpoints hold other variables")
    else:
        relative = max(_relative_differences(*states).values())
    lines = [gan_core.run.read_metrics(run / "metrics.jsonl") for run in (peaceful, killed)]
    expected_steps = list(range(_LOG_EVERY, plan.total_steps + 1, _LOG_EVERY))
    for run, run_lines in zip((peaceful, killed), lines, strict=True):
        if [line["step"] for line in run_lines] != expected_steps:
            found.append(f"{run.name}/metrics.jsonl does not have each step once")
        if _tensorboard_steps(run / "tensorboard") != expected_steps:
            found.append(f"{run.name}/tensorboard does not have each step once")
    if [p.name for p in _samples(peaceful)] != [p.name for p in _samples(killed)]:
        found.append("there are other samples")
    if len(set(plan.virtual_devices)) == 1:
        for one, other in zip(*lines, strict=False):
            names = (one.keys() | other.keys()) - _TIMINGS
            if any(one.get(name) != other.get(name) for name in names):
                found.append(f"line of step {one['step']} differs")
        for one, other in zip(_samples(peaceful), _samples(killed), strict=False):
            if one.read_bytes() != other.read_bytes():
                found.append(f"{one.name} differs")
    return found, relative


def _start_and_kill(
    plan: Plan, workdir: Path, devices: int, kind: str, choose: random.Random
) -> tuple[int, str]:
    """One start that is ended at a moment of a kind: its exit code, and the kind it came to."""
    log = workdir.with_name(f"{workdir.name}.log")
    with log.open("w+") as output:
        process = subprocess.Popen(
            plan.command(workdir, devices), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            if kind == "start":
                _wait(process, choose.uniform(0.0, 6.0))
            else:
                _wait(process, _PATIENCE_SECONDS, lambda: "compiling" in log.read_text())
                for _ in range(choose.randint(1, 2)):
                    before = _newest(workdir)
                    _wait(process, _PATIENCE_SECONDS, lambda old=before: _newest(workdir) != old)
                if kind == "step":
                    _wait(process, choose.uniform(0.0, 1.0))
                else:
                    folder = workdir / "checkpoints"
                    _wait(process, _PATIENCE_SECONDS, lambda: any(folder.glob("partial_*")))
            process.send_signal(getattr(signal, f"SIG{plan.signal_name}"))
            code = process.wait(_PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
    stopped_by = {0, -signal.SIGKILL, -signal.SIGTERM, exit_codes.STOPPED}
    if code not in stopped_by:
        raise RuntimeError(f"a start failed by itself, exit code {code}:\n{log.read_text()}")
    return code, kind


def _wait(
    process: subprocess.Popen, seconds: float, condition: Callable[[], bool] = lambda: False
) -> None:
    """Waits for a time, a condition, or the end of the process, whichever comes first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not condition():
        time.sleep(0.002)


def _newest(workdir: Path) -> list[Path]:
    return gan_core.run.step_paths(workdir / "checkpoints")[-1:]


def _state(variables: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(variables))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE")
    }


def _relative_differences(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray]
) -> dict[str, float]:
    squares: dict[str, list[float]] = {}
    for name, value in one.items():
        group = squares.setdefault("/".join(name.split("/")[:2]), [0.0, 0.0])
        value, other_value = value.astype(np.float64), other[name].astype(np.float64)
        group[0] += float(np.sum((value - other_value) ** 2))
        group[1] += float(np.sum(value**2))
    return {
        name: (difference / max(total, 1e-30)) ** 0.5
        for name, (difference, total) in squares.items()
    }


def _tensorboard_steps(folder: Path) -> list[int]:
    steps = []
    for path in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if any(value.tag == "generator/loss" for value in event.summary.value):
                steps.append(event.step)
    return sorted(steps)


def _samples(workdir: Path) -> list[Path]:
    return gan_core.run.step_paths(workdir / "samples", ".png")


def _define_flags() -> None:
    """When this is run, not when it is imported: other programs have flags of the same names."""
    flags.DEFINE_string("experiment", "svhn_dcgan", "Which experiment to train.")
    flags.DEFINE_integer("kills", 50, "How often to kill it.", lower_bound=1)
    flags.DEFINE_enum("signal", "KILL", ["KILL", "TERM"], "What to send.")
    flags.DEFINE_list("virtual_devices", ["1"], "Numbers of devices, start by start.")
    flags.DEFINE_integer("total_steps", 0, "Steps, a multiple of 4; 16 a kill if 0.", lower_bound=0)
    flags.DEFINE_integer("global_batch_size", 4, "Images in one step.", lower_bound=1)
    flags.DEFINE_float(
        "relative_tolerance", 0.0, "Largest relative difference of weights; 0 is bit for bit.", 0.0
    )
    flags.DEFINE_integer("seed", 0, "Seed of the moments.")
    flags.DEFINE_multi_string("extra_flag", [], "A flag for the experiment; may be repeated.")
    flags.DEFINE_string("workdir", "", "Where both runs are kept; nowhere if empty.")


def main(arguments: list[str]) -> int:
    """Runs the test; exit code 1 if anything differs."""
    del arguments
    import_tensorflow_quietly()
    chosen = flags.FLAGS
    plan = Plan(
        experiment=chosen.experiment,
        extra_flags=(f"--global_batch_size={chosen.global_batch_size}", *chosen.extra_flag),
        total_steps=chosen.total_steps or 16 * chosen.kills,
        kills=chosen.kills,
        signal_name=chosen.signal,
        virtual_devices=tuple(int(number) for number in chosen.virtual_devices),
        seed=chosen.seed,
    )
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(chosen.workdir or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"in peace: {plan.experiment}, {plan.total_steps} steps", flush=True)
        run_in_peace(plan, folder / "in_peace")
        print(f"with {plan.kills} kills (SIG{plan.signal_name})", flush=True)
        counts = run_with_kills(plan, folder / "killed")
        found, relative = differences(plan, folder / "in_peace", folder / "killed")
    if relative > chosen.relative_tolerance:
        found.append(f"variables differ by {relative:.2e} (relative)")
    print(f"killed: {json.dumps(counts)}; {gan_core.run.duration(time.monotonic() - start)}")
    print(f"largest relative difference of the variables: {relative:.2e}")
    print("\n".join(["DIFFERENT:", *found]) if found else "equal: nothing was lost")
    return 1 if found else 0


if __name__ == "__main__":
    _define_flags()
    app.run(main)
