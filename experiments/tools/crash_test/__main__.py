"""Proof that faults lose nothing: runs are killed or refused disk writes, and end undisturbed.

    python -m experiments.tools.crash_test --kills=200

First a small run is trained without faults. Then others are killed again and again until each has
ended: during imports, while they decode images, save or evaluate, between the last checkpoint and
the end, at any write and at any moment, and while they generate pictures. The result of each is
compared with the first run: weights, optimizers and counters, each line of metrics, TensorBoard
events, samples and pictures.

This is done on each of `--virtual_devices`; `1-2-1` means starts on one, two and one devices in
turn, whose sums differ in their last bits. Networks with dropout cannot be compared there, because
other devices draw other numbers. On the first of them, further runs are refused one write each by
the disk: the first, the second, and so on. It needs Linux.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from etils import epy

import gan_core
from experiments.program.experiment import load_experiment
from experiments.program.process import DONE, FAILED, Command
from experiments.settings.flag import Options, flag
from experiments.tools.crash_test.plan import Plan

with epy.lazy_imports():  # of what needs TensorFlow
    from experiments.tools.crash_test import kills, refusals

_DEFAULT = Plan()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrashTestOptions(Options):
    """Flags of the crash test."""

    experiment: str = flag(_DEFAULT.experiment)
    """Experiment to train."""
    kills: int = flag(200)
    """Number of kills in all."""
    refusals: int = flag(1000)
    """Number of refused writes; at most all writes of a run."""
    signal: str = flag(_DEFAULT.signal_name, choices=("KILL", "TERM"))
    """Signal that is sent at any moment."""
    virtual_devices: tuple[str, ...] = flag(("1", "2", "1-2-1"))
    """Numbers of devices."""
    total_steps: int = flag(_DEFAULT.total_steps, at_least=8)
    """Steps of each run, a multiple of 8."""
    global_batch_size: int = flag(4, at_least=1)
    """Images per step."""
    relative_tolerance: float = flag(_DEFAULT.relative_tolerance)
    """Allowed relative difference of weights for 1-2-1."""
    seed: int = flag(_DEFAULT.seed)
    """Seed of the moments."""
    extra_flag: tuple[str, ...] = flag((), takes="values")
    """A flag for the experiment; may be repeated."""
    workdir: str = flag("", is_path=True)
    """Folder in which runs that lost something are kept; none are kept if empty."""


def _plans(options: CrashTestOptions) -> Iterator[tuple[str, Plan]]:
    extra_flags = (f"--global_batch_size={options.global_batch_size}", *options.extra_flag)
    for devices in options.virtual_devices:
        yield (
            devices,
            Plan(
                experiment=options.experiment,
                extra_flags=extra_flags,
                total_steps=options.total_steps,
                virtual_devices=tuple(int(number) for number in devices.split("-")),
                signal_name=options.signal,
                seed=options.seed,
                relative_tolerance=options.relative_tolerance,
            ),
        )


def _test(options: CrashTestOptions) -> int:
    load_experiment(options.experiment)  # refuses an unknown one, which each start would report
    found = _differences(options)
    print("\n".join(["DIFFERENT:", *found]) if found else "equal: nothing was lost")
    return FAILED if found else DONE


def _differences(options: CrashTestOptions) -> list[str]:
    """Differences from the run without faults, a line each."""
    begin = time.monotonic()
    found: list[str] = []
    plans = list(_plans(options))
    with tempfile.TemporaryDirectory() as scratch:
        for number, (devices, plan) in enumerate(plans):
            folder = Path(options.workdir or scratch).absolute() / f"devices_{devices}"
            folder.mkdir(parents=True, exist_ok=True)
            peace = kills.run_in_peace(plan, folder / "in_peace")
            print(f"devices {devices}: {plan.experiment}, {plan.total_steps} steps", flush=True)
            count = options.kills // len(plans) + (number < options.kills % len(plans))
            counts, lost = kills.run_with_kills(plan, peace, folder, count)
            print(f"killed: {json.dumps(counts)}", flush=True)
            found += [f"devices {devices}, {words}" for words in lost]
            if number == 0 and options.refusals:
                count = min(options.refusals, len(refusals.refusable(peace)))
                numbers = range(1, count + 1)
                counts, lost = refusals.run_with_refusals(plan, peace, folder, numbers)
                print(f"refused: {json.dumps(counts)}", flush=True)
                found += [f"devices {devices}, {words}" for words in lost]
    print(f"took {gan_core.run.duration(time.monotonic() - begin)}")
    return found


COMMAND = Command(CrashTestOptions, _test, __doc__)

if __name__ == "__main__":
    COMMAND.main()
