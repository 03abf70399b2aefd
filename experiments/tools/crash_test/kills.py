"""Small runs that are killed at all moments, again and again, until each has ended."""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

import gan_core
from experiments.program.process import DONE, STOPPED
from experiments.tools.crash_test.comparing import differences
from experiments.tools.crash_test.faults import Fault
from experiments.tools.crash_test.plan import Plan
from experiments.tools.crash_test.starts import NO_FAULT, Start, cache_of, timed

_IMPORT_SECONDS = 4.0
_CACHE, _CHECKPOINTS, _ANYWHERE = r"\.cache/", "/checkpoints/", ""
MOMENTS = ("import", "any moment", "any write", "cache", "checkpoint", "evaluation", "end")
"""Moments at which a run is killed: see `_Campaign._fault`."""
GENERATE = "generate"
_KILLED = {-signal.SIGKILL, -signal.SIGTERM}


@dataclasses.dataclass(frozen=True)
class Peace:
    """An undisturbed run, to which others are compared.

    Attributes:
      workdir: Its folder.
      seconds: Its duration.
      writes: Its writes, each as `event path`.
      writes_of_generate: The writes of generating pictures with it.
    """

    workdir: Path
    seconds: float
    writes: tuple[str, ...]
    writes_of_generate: tuple[str, ...]

    @property
    def picture(self) -> Path:
        """The pictures of its generator."""
        return picture_of(self.workdir)

    def count(self, below: str) -> int:
        """The number of its writes to paths that match a regular expression."""
        return sum(bool(re.search(below, write)) for write in self.writes)

    def count_at_end(self, last_checkpoint: str) -> int:
        """The number of writes after its last checkpoint."""
        last = max(n for n, write in enumerate(self.writes) if write.endswith(last_checkpoint))
        return len(self.writes) - last


def run_in_peace(plan: Plan, workdir: Path) -> Peace:
    """Trains from the first step to the last, on the first number of devices; generates pictures.

    Raises:
      RuntimeError: If it fails.
    """
    remove(workdir)
    start = Start(plan.experiment, plan.train(workdir), workdir)
    code, seconds = timed(start)
    _check(start, code, {DONE})
    pictures = _generate(plan, workdir)
    return Peace(workdir, seconds, tuple(start.writes), tuple(pictures.writes))


def run_with_kills(plan: Plan, peace: Peace, folder: Path, kills: int) -> tuple[Counter, list[str]]:
    """Trains runs, each killed until it has ended; compares each with the undisturbed one.

    Args:
      plan: The run to train.
      peace: The same run, undisturbed.
      folder: Folder of the runs; those that lost nothing are removed.
      kills: Number of kills in all.

    Returns:
      How many kills came when, and what was lost, which should be nothing.

    Raises:
      RuntimeError: If a start fails by itself.
    """
    campaign = _Campaign(plan, peace, random.Random(plan.seed))
    found: list[str] = []
    with tqdm(total=kills, unit=" kills", disable=None) as bar:
        number = 0
        while campaign.counts.total() < kills:
            workdir = folder / f"run_{number}"
            lost = campaign.run(workdir, bar)
            found += [f"{workdir.name}: {words}" for words in lost]
            if not lost:
                remove(workdir)
            number += 1
    return campaign.counts, found


def picture_of(workdir: Path) -> Path:
    """Folder of the pictures of its generator."""
    return workdir.with_name(f"{workdir.name}.pictures") / "grid.png"


def remove(workdir: Path) -> None:
    """Removes a run and its files next to the workdir."""
    for path in workdir.parent.glob(f"{workdir.name}*"):
        if path.name == workdir.name or path.name.startswith(f"{workdir.name}."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Campaign:
    """A series of counted kills."""

    def __init__(self, plan: Plan, peace: Peace, choose: random.Random):
        self._plan, self._peace, self._choose = plan, peace, choose
        self.counts: Counter = Counter()
        self._lost: list[str] = []

    def run(self, workdir: Path, bar: tqdm) -> list[str]:
        """Kills one run until it ends; returns what it lost."""
        remove(workdir)
        self._lost.clear()
        start = 0
        while not self._start(workdir, start, bar):
            start += 1
        found = self._lost + differences(self._plan, self._peace.workdir, workdir)
        found += [f"{path.name} was set aside" for path in workdir.glob("checkpoints/damaged_*")]
        if any(cache_of(workdir).glob("*partial*")):
            found.append("an unfinished cache was left")
        return found + self._kill_generate(workdir, bar)

    def _start(self, workdir: Path, number: int, bar: tqdm) -> bool:
        """Kills one start at some moment; returns whether it ended before."""
        arguments = self._plan.train(workdir, number)
        newest = gan_core.run.newest_undamaged(workdir / "checkpoints", rename_damaged=False)
        moment = self._choose.choice(MOMENTS)
        if moment == "import":
            code = self._kill_import(arguments)
        else:
            start = Start(self._plan.experiment, arguments, workdir, self._fault(moment))
            if moment == "any moment":
                signal_number = getattr(signal, f"SIG{self._plan.signal_name}")
                code = start.end(self._choose.uniform(0, self._peace.seconds), signal_number)
            else:
                code = start.end()
            _check(start, code, {DONE, STOPPED, *_KILLED})
            step = gan_core.run.step_of(newest) if newest else 0
            begun = re.search(r"^from step ([\d,]+) to ", start.printed, flags=re.MULTILINE)
            if begun and int(begun[1].replace(",", "")) != step:
                self._lost.append(f"start {number} began at step {begun[1]} and not at {step}")
        if code != DONE:
            self.counts[moment] += 1
            bar.update()
        return code == DONE

    def _fault(self, moment: str) -> Fault:
        if moment == "evaluation":
            return Fault(seconds_into_evaluation=self._choose.uniform(0, 0.2))
        if moment == "end":
            last = self._plan.last_checkpoint
            at_most = self._peace.count_at_end(last)
            return Fault(at=self._choose.randint(1, at_most), after=f"{last}$")
        below = {"any write": _ANYWHERE, "cache": _CACHE, "checkpoint": _CHECKPOINTS}.get(moment)
        if below is None:
            return NO_FAULT
        return Fault(at=self._choose.randint(1, max(1, self._peace.count(below))), below=below)

    def _kill_import(self, arguments: list[str]) -> int:
        """Kills a real start from the command line during its imports or just after."""
        command = [sys.executable, "-m", f"experiments.{self._plan.experiment}", *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(self._choose.uniform(0, _IMPORT_SECONDS))
            process.kill()
        if process.returncode not in {DONE, *_KILLED}:
            raise RuntimeError(f"a start failed by itself, exit code {process.returncode}")
        return process.returncode

    def _kill_generate(self, workdir: Path, bar: tqdm) -> list[str]:
        """Generates pictures, killed at some write, then undisturbed; returns differences."""
        at = self._choose.randint(1, len(self._peace.writes_of_generate))
        killed = _generate(self._plan, workdir, Fault(at=at))
        picture, found = picture_of(workdir), []
        if killed.end() in _KILLED:
            self.counts[GENERATE] += 1
            bar.update()
        if picture.exists() and not self._is_as_in_peace(picture):
            found.append("half a picture was left by a kill")
        _generate(self._plan, workdir)
        if not self._is_as_in_peace(picture):
            found.append("the pictures differ")
        return found

    def _is_as_in_peace(self, picture: Path) -> bool:
        if not self._plan.is_exact:
            return picture.stat().st_size > 0
        return picture.read_bytes() == self._peace.picture.read_bytes()


def _generate(plan: Plan, workdir: Path, fault: Fault = NO_FAULT) -> Start:
    """A finished start that generates pictures."""
    folder = picture_of(workdir).parent
    arguments = plan.generate(workdir, picture_of(workdir))
    start = Start(plan.experiment, arguments, folder, fault)
    _check(start, start.end(), {DONE, *(_KILLED if fault.at else ())})
    return start


def _check(start: Start, code: int, allowed: set[int]) -> None:
    if code not in allowed or "Traceback" in start.printed:
        raise RuntimeError(f"a start failed by itself, exit code {code}:\n{start.printed}")
