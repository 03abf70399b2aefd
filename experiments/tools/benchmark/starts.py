"""Seconds of each part of a start, from the command to its first step."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from gan_core import ArgumentError

_TOTAL = "first step after the command"
_REST = "interpreter"


def measure(experiment: str, num_starts: int) -> list[dict[str, float]]:
    """Starts an experiment on drawn digits several times, for one step each.

    The first start, which does not count, draws the digits and fills the disk's cache.

    Returns:
      Seconds by part of the start, and in all, of each start.

    Raises:
      ArgumentError: If the experiment does not come to its first step.
    """
    return [_start_once(experiment) for _ in range(num_starts + 1)][1:]


def table(starts: Sequence[dict[str, float]]) -> str:
    """A Markdown table: median, minimum and maximum of each part."""
    lines = ["| part of the start | seconds, median (min to max) |", "| --- | --- |"]
    for name in starts[0]:
        seconds = [start.get(name, 0.0) for start in starts]
        median = statistics.median(seconds)
        lines.append(f"| {name} | {median:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) |")
    return "\n".join(lines)


def _start_once(experiment: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as workdir:
        command = [
            *(sys.executable, "-u", "-m", f"experiments.{experiment}"),
            *("--dataset=drawn_digits", f"--workdir={workdir}/run", "--total_steps=1"),
            *("--steps_per_call=1", "--precision=auto"),
        ]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith("first step after"):
                    total = time.monotonic() - start
                    parts = re.findall(r"(?:: |, )(\D+) ([\d.]+)", line)
                    seconds = {name: float(figure) for name, figure in parts}
                    rest = total - sum(seconds.values())
                    process.communicate()
                    return {_REST: rest, **seconds, _TOTAL: total}
    raise ArgumentError(
        "experiment", experiment, "must come to its first step", "see what it said above"
    )
