"""Runs of experiments in child processes, for a number of minutes of training each."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

import gan_core
from experiments.program.launcher import Children
from experiments.program.process import CANNOT_WRITE, DONE, INTERRUPTED, STOPPED

_STOPPED = (STOPPED, INTERRUPTED, -signal.SIGINT, -signal.SIGTERM)
NO_END = 1_000_000_000
"""Steps of a run that ends after so many minutes."""
WITHOUT_END = f"--total_steps={NO_END}"
_OF_A_PLACE = "--data_dir="
_FLAGFILE = "--flagfile="
_SECONDS, _OWN = "evaluation/seconds", "evaluation/"
_SECONDS_BETWEEN_LOOKS = 2.0
_LONGEST_LINE = 4096
"""Bytes."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """The result of an evaluation of a run.

    Attributes:
      minutes: Minutes of training before it, without evaluations.
      step: Its step.
      values: Values by name, without the protocol.
      protocol: Short name of the protocol.
    """

    minutes: float
    step: int
    values: Mapping[str, float]
    protocol: str

    @property
    def distance(self) -> float:
        """The Fréchet distance, or FID if that is its name."""
        return self.values[gan_core.evaluation.metric_name("frechet_distance", self.values)]


@dataclasses.dataclass(frozen=True)
class TimedRun:
    """A run of an experiment for a number of minutes, which resumes after a stop.

    Attributes:
      experiment: Name of the module.
      flags: Its command line without the workdir and the minutes.
      workdir: Its folder.
      minutes: Minutes of training, without evaluations.
    """

    experiment: str
    flags: tuple[str, ...]
    workdir: Path
    minutes: float

    @property
    def settings(self) -> list[str]:
        """All its flags, with those of its flagfile, without those that name a place."""
        found = [self.experiment]
        for flag in self.flags:
            if flag.startswith(_FLAGFILE):
                text = Path(flag.removeprefix(_FLAGFILE)).read_text(encoding="utf-8")
                found += [line for line in text.splitlines() if line.startswith("--")]
            elif not flag.startswith(_OF_A_PLACE):
                found.append(flag)
        return found

    def command(self) -> list[str]:
        """The command that trains or resumes it."""
        program = [sys.executable, "-m", f"experiments.{self.experiment}"]
        return [
            *program,
            *self.flags,
            f"--workdir={self.workdir}",
            f"--total_minutes={self.minutes:g}",
        ]

    def minutes_done(self) -> float:
        """Minutes of training so far."""
        facts = gan_core.run.newest_facts(self.workdir / "checkpoints")
        return gan_core.run.RunRecord.from_facts(facts).training_seconds / 60 if facts else 0.0

    def train(self) -> str:
        """Trains it if it is not finished; returns the reason of a failure, empty without one.

        Raises:
          ArgumentError: If it is being trained by another process.
          OSError: If its folder cannot be written to, which is no fault of its settings.
          KeyboardInterrupt: If a signal asked for a stop; what was done is saved.
        """
        gan_core.run.RunLock.check_free(self.workdir)
        if self.minutes_done() >= self.minutes:
            return ""
        self.workdir.mkdir(parents=True, exist_ok=True)
        with (self.workdir / "output.txt").open("a", encoding="utf-8") as output:
            code, errors, is_asked_to_stop = _run(self.command(), output)
            output.write(errors)
        if is_asked_to_stop or code in _STOPPED:
            raise KeyboardInterrupt
        if code == CANNOT_WRITE:
            words = "cannot be written to, as output.txt there says"
            raise OSError(errno.EIO, words, str(self.workdir))
        return "" if code == DONE else last_line(errors, code)

    def judged(self) -> list[Judged]:
        """The evaluations within its minutes, oldest first."""
        return within(self.minutes, judged_in(self.workdir / "metrics.jsonl"))

    def best(self) -> Judged | None:
        """The evaluation with the smallest distance; None before the first."""
        return min(self.judged(), key=lambda each: each.distance, default=None)


def within(minutes: float, judged: Iterable[Judged]) -> list[Judged]:
    """Those up to a millisecond after so many minutes: rounding must not lose the last one."""
    return [each for each in judged if each.minutes <= minutes + 1e-3 / 60]


def markdown_row(cells: Sequence[object]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def judged_in(path: Path) -> list[Judged]:
    """The evaluations in a run's lines of metrics, oldest first; none without a file."""
    if not path.exists():
        return []
    found, evaluating = [], 0.0
    for line in gan_core.run.read_metrics(path):
        if _SECONDS not in line:
            continue
        evaluating += line[_SECONDS]
        found.append(_judged(line, line["seconds"] - evaluating))
    return found


def _judged(line: Mapping[str, Any], seconds: float) -> Judged:
    named = {name: value for name, value in line.items() if "@" in name}
    values = {name.removeprefix(_OWN).split("@")[0]: value for name, value in named.items()}
    protocol = next(iter(named)).split("@")[1]
    return Judged(seconds / 60, int(line["evaluation/step"]), values, protocol)


def _run(command: Sequence[str], output: TextIO) -> tuple[int, str, bool]:
    """Runs a program to its end, and passes stop signals on.

    Returns:
      Its exit code, what it wrote to standard error, and whether a signal asked for a stop: it may
      have come too late for the exit code to tell.
    """
    with (
        Children() as children,
        children.start(command, stdout=output, stderr=subprocess.PIPE, text=True) as process,
    ):
        errors = _wait(process, Path(output.name))
    return process.returncode, errors, bool(children.received)


def _wait(process: subprocess.Popen[str], output: Path) -> str:
    """Waits for a program, and shows its progress on a terminal.

    Args:
      process: The program, whose standard error is a pipe.
      output: File of its standard output, which grows.

    Returns:
      What it wrote to standard error.
    """
    with tqdm(bar_format="{desc}", disable=None, leave=False) as shown:
        while True:
            try:
                return process.communicate(timeout=_SECONDS_BETWEEN_LOOKS)[1]
            except subprocess.TimeoutExpired:
                words = f"{output.parent.name}: {_newest_line(output)}"
                shown.set_description_str(words[: shutil.get_terminal_size().columns - 1])


def _newest_line(path: Path) -> str:
    """The last line with words in a file, with single spaces; empty without one."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_LINE))
        text = file.read().decode("utf-8", errors="replace")
    lines = (" ".join(line.split()) for line in reversed(text.split("\n")))
    return next(filter(None, lines), "")


def last_line(errors: str, code: int) -> str:
    """The last line of a program's output, or its exit code if there was none.

    Of one that a signal ended, that too: what it said last may be no reason.
    """
    lines = [line for line in errors.splitlines() if line.strip()]
    if code >= 0:
        return lines[-1] if lines else f"exit code {code}"
    why = ", for want of memory perhaps" if code == -signal.SIGKILL else ""
    return "; ".join([f"ended by signal {-code}{why}", *lines[-1:]])
