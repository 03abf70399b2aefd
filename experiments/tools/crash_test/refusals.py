"""Small runs in which the disk refuses one write: the first, the second, and so on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from experiments.program.process import CANNOT_WRITE, DONE, USAGE
from experiments.tools.crash_test.comparing import differences
from experiments.tools.crash_test.faults import MAY_BE_REFUSED, REFUSE, Fault
from experiments.tools.crash_test.kills import Peace, remove
from experiments.tools.crash_test.plan import Plan
from experiments.tools.crash_test.starts import Start

_TOLD = {USAGE, CANNOT_WRITE}


def run_with_refusals(
    plan: Plan, peace: Peace, folder: Path, writes: Iterable[int]
) -> tuple[Counter, list[str]]:
    """Trains a run for each number of a write, which is refused once; compares each.

    A start may go on, or end in a line that says so; the same command then goes on to the end.

    Args:
      plan: The run to train.
      peace: The same run, undisturbed.
      folder: Folder of the runs; those that lost nothing are removed.
      writes: Numbers of the refused writes, from 1 on.

    Returns:
      How many starts went on and how many ended, by exit code, and what was wrong, which should
      be nothing.
    """
    counts: Counter = Counter()
    found: list[str] = []
    for number in tqdm(writes, unit=" refusals", disable=None):
        workdir = folder / f"refused_{number}"
        lost = _refuse(plan, peace, workdir, number, counts)
        found += [f"{workdir.name}: {words}" for words in lost]
        if not lost:
            remove(workdir)
    return counts, found


def refusable(peace: Peace) -> list[str]:
    """The writes of a run that a disk may refuse, each `event path`."""
    return [write for write in peace.writes if write.split(" ", 1)[0] in MAY_BE_REFUSED]


def _refuse(plan: Plan, peace: Peace, workdir: Path, number: int, counts: Counter) -> list[str]:
    remove(workdir)
    fault = Fault(action=REFUSE, at=number)
    start = Start(plan.experiment, plan.train(workdir), workdir, fault)
    code = start.end()
    if len(start.writes) < number:
        return [f"it wrote only {len(start.writes)} times, so nothing was refused"]
    counts[f"exit code {code}"] += 1
    if code not in {DONE, *_TOLD}:
        return [f"exit code {code}: {start.printed}"]
    if "Traceback" in start.printed:
        return [f"a traceback: {start.printed}"]
    if code != DONE:
        again = Start(plan.experiment, plan.train(workdir), workdir)
        code = again.end()
        if code != DONE:
            return [f"exit code {code} of the start after: {again.printed}"]
    return differences(plan, peace.workdir, workdir)
