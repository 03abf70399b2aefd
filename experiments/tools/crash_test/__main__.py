"""Proof that faults lose nothing: runs are killed and refused the disk, and end as if undisturbed.

    python -m experiments.tools.crash_test --kills=200

trains a small run in peace, and others that are killed again and again until each has ended: while
they import, decode images, save, judge, between the last checkpoint and the end, at any write and
at any moment, and while they draw pictures. What each leaves is compared with the run in peace:
weights, optimizers and counters, each line of the metrics, the events for TensorBoard, samples and
pictures. That is done on each of `--virtual_devices`; `1-2-1` stands for starts on one, two and one
in turn, whose sums differ in their last bits; networks with dropout cannot be compared there, for
it draws other numbers on other devices. On the first of them further runs are refused one
write each by the disk: the first, the second, and so on. It needs Linux.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags

import gan_core
from experiments.program.experiment import load_experiment
from experiments.program.process import DONE, FAILED, run_program
from experiments.settings.parse import check_only_flags
from experiments.tools.crash_test.kills import run_in_peace, run_with_kills
from experiments.tools.crash_test.plan import Plan
from experiments.tools.crash_test.refusals import refusable, run_with_refusals


def _define_flags() -> None:
    """When this is run, not when it is imported: other programs have flags of the same names."""
    default = Plan()
    flags.DEFINE_string("experiment", default.experiment, "Which experiment to train.")
    flags.DEFINE_integer("kills", 200, "How often to kill, in all.", lower_bound=0)
    flags.DEFINE_integer("refusals", 1000, "How many writes are refused, all at most.", 0)
    flags.DEFINE_enum("signal", default.signal_name, ["KILL", "TERM"], "Sent at any moment.")
    flags.DEFINE_list("virtual_devices", ["1", "2", "1-2-1"], "Numbers of devices.")
    flags.DEFINE_integer("total_steps", default.total_steps, "Of each run, a multiple of 8.", 8)
    flags.DEFINE_integer("global_batch_size", 4, "Images in one step.", lower_bound=1)
    flags.DEFINE_float(
        "relative_tolerance", default.relative_tolerance, "Of weights, for 1-2-1 alone.", 0.0
    )
    flags.DEFINE_integer("seed", default.seed, "Seed of the moments.")
    flags.DEFINE_multi_string("extra_flag", [], "A flag for the experiment; may be repeated.")
    flags.DEFINE_string(
        "workdir",
        "",
        "Where runs that lost something are kept; nowhere if empty.",
    )


def _plans() -> Iterator[tuple[str, Plan]]:
    chosen = flags.FLAGS
    for devices in chosen.virtual_devices:
        yield (
            devices,
            Plan(
                experiment=chosen.experiment,
                extra_flags=(f"--global_batch_size={chosen.global_batch_size}", *chosen.extra_flag),
                total_steps=chosen.total_steps,
                virtual_devices=tuple(int(number) for number in devices.split("-")),
                signal_name=chosen.signal,
                seed=chosen.seed,
                relative_tolerance=chosen.relative_tolerance,
            ),
        )


def main(arguments: list[str]) -> int:
    """Runs the test; exit code 1 if anything differs."""

    def work() -> int:
        check_only_flags(arguments[1:])
        load_experiment(flags.FLAGS.experiment)  # or each start would say that there is none
        found = _differences()
        print("\n".join(["DIFFERENT:", *found]) if found else "equal: nothing was lost")
        return FAILED if found else DONE

    return run_program(work)


def _differences() -> list[str]:
    """What is not as in peace, a line each."""
    chosen, begin = flags.FLAGS, time.monotonic()
    found: list[str] = []
    plans = list(_plans())
    with tempfile.TemporaryDirectory() as scratch:
        for number, (devices, plan) in enumerate(plans):
            folder = Path(chosen.workdir or scratch).absolute() / f"devices_{devices}"
            folder.mkdir(parents=True, exist_ok=True)
            peace = run_in_peace(plan, folder / "in_peace")
            print(f"devices {devices}: {plan.experiment}, {plan.total_steps} steps", flush=True)
            kills = chosen.kills // len(plans) + (number < chosen.kills % len(plans))
            counts, lost = run_with_kills(plan, peace, folder, kills)
            print(f"killed: {json.dumps(counts)}", flush=True)
            found += [f"devices {devices}, {words}" for words in lost]
            if number == 0 and chosen.refusals:
                refusals = min(chosen.refusals, len(refusable(peace)))
                counts, lost = run_with_refusals(plan, peace, folder, range(1, refusals + 1))
                print(f"refused: {json.dumps(counts)}", flush=True)
                found += [f"devices {devices}, {words}" for words in lost]
    print(f"took {gan_core.run.duration(time.monotonic() - begin)}")
    return found


if __name__ == "__main__":
    _define_flags()
    app.run(main)
