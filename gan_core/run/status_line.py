"""What a run says on the screen: a table that grows by a line an interval, and a bar below it."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from gan_core.run.writers import Scalars, Writer

_LINES_BETWEEN_HEADINGS = 20
_NEW_SHARE = 0.3
"""Share of the newest interval in the smoothed time a step, from which the time left follows."""

_WIDTHS = {
    "step": 9,
    "done": 5,
    "ETA": 9,
    "images/s": 9,
    "wait": 7,
    "d_loss": 8,
    "g_loss": 8,
    "D(real)": 9,
    "D(fake)": 9,
    "GiB": 6,
}
"""Columns and their widths: 79 characters, so that a line fits into a terminal of 80."""


def say(words: str, stream: TextIO | None = None) -> None:
    """Prints a line above the bar, if there is one; on a terminal it is broken between words.

    Args:
      words: The line.
      stream: Where to; standard output when None. One that nobody reads any more is no error:
        Ctrl-C also ends the `tee` that one may print to.
    """
    stream = stream or sys.stdout
    if stream.isatty():
        width = shutil.get_terminal_size().columns - 1
        words = textwrap.fill(
            words, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    with contextlib.suppress(BrokenPipeError):
        tqdm.write(words, file=stream)
        stream.flush()


class StatusWriter(Writer):
    """Prints the scalars of a run as lines of a table, and keeps a bar below it on a terminal.

    A line has at most 79 characters. The time left (ETA) is that of the steps to come at the
    smoothed speed of those before; compiling, which the speed leaves out, is no part of it.

    Args:
      total_steps: Steps of the whole run.
      first_step: Where this process starts.
      stream: Where to print; standard output when None.
      time_left: Seconds after which the run ends, if that is before its last step.
      on_forecast: Called at each line, once the speed is known, with the step and with the one at
        which the run will end at this speed.
    """

    def __init__(
        self,
        total_steps: int,
        first_step: int = 0,
        stream: TextIO | None = None,
        time_left: Callable[[], float] = lambda: math.inf,
        on_forecast: Callable[[int, int], None] = lambda step, last_step: None,
    ):
        self._total_steps = total_steps
        self._time_left = time_left
        self._on_forecast = on_forecast
        self._stream = stream or sys.stdout
        self._num_lines = 0
        self._seconds_a_step: float | None = None
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            file=self._stream,
            disable=None,
            leave=False,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps{postfix}",
        )

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._bar.update(step - self._bar.n)

    def show_best(self, value: float, step: int) -> None:
        """Shows the best evaluation so far beside the bar."""
        self._bar.set_postfix_str(f"best {value:.3g} at {step:,}")

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Prints a line, below a heading where it is time for one."""
        self._smooth_speed(scalars)
        last, seconds_left = self._last_step(step), None
        if self._seconds_a_step is not None:
            seconds_left = (last - step) * self._seconds_a_step
        self._bar.total = last
        lines = [status_line(step, last, scalars, seconds_left)]
        if self._num_lines % _LINES_BETWEEN_HEADINGS == 0:
            lines.insert(0, status_heading())
        self._num_lines += 1
        self._bar.write("\n".join(lines), file=self._stream)
        self._stream.flush()
        if self._seconds_a_step is not None:
            self._on_forecast(step, last)

    def close(self) -> None:
        """Takes the bar off the screen."""
        self._bar.close()

    def _smooth_speed(self, scalars: Scalars) -> None:
        if scalars.get("steps_per_sec"):
            newest = 1.0 / scalars["steps_per_sec"]
            before = self._seconds_a_step or newest
            self._seconds_a_step = before + _NEW_SHARE * (newest - before)

    def _last_step(self, step: int) -> int:
        """The last step, or the one at which time will be up, if that is earlier."""
        time_left = self._time_left()
        if self._seconds_a_step is None or time_left == math.inf:
            return self._total_steps
        return min(self._total_steps, step + round(max(0.0, time_left) / self._seconds_a_step))


def status_heading() -> str:
    """The names of the columns, above their figures."""
    return "".join(f"{name:>{width}}" for name, width in _WIDTHS.items())


def status_line(
    step: int, total_steps: int, scalars: Scalars, seconds_left: float | None = None
) -> str:
    """One line of the table from what `hooks.MetricsWindow` writes; what is not known is a dash.

    Args:
      step: Of how many steps the run has done,
      total_steps: out of how many.
      scalars: Means since the line before; `data_wait` is a share of the time, 0 to 1.
      seconds_left: Until the last step; None where that is not known.
    """
    figures = {
        "step": f"{step:,}",
        "done": f"{100 * step / max(total_steps, 1):.0f}%",
        "ETA": None if seconds_left is None else duration(seconds_left),
        "images/s": _number(scalars.get("images_per_sec"), 0),
        "wait": _number(scalars.get("data_wait"), 1, 100, "%"),
        "d_loss": _number(scalars.get("discriminator/loss"), 3),
        "g_loss": _number(scalars.get("generator/loss"), 3),
        "D(real)": _number(scalars.get("discriminator/real_probability"), 3),
        "D(fake)": _number(scalars.get("discriminator/fake_probability"), 3),
        "GiB": _number(scalars.get("memory_gib"), 2),
    }
    return "".join(f"{figures[name] or '-':>{width}}" for name, width in _WIDTHS.items())


def _number(value: float | None, decimals: int, factor: float = 1.0, unit: str = "") -> str | None:
    """A figure of at most 7 characters."""
    if value is None:
        return None
    text = f"{factor * value:,.{decimals}f}{unit}"
    return text if len(text) < 8 else f"{factor * value:.0e}{unit}"


def duration(seconds: float) -> str:
    """Seconds in words: `42s`, `12m 05s`, `3h 07m`, `2d 04h`."""
    seconds = round(seconds)
    for unit, size, smaller_unit, smaller_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // smaller_size:02d}{smaller_unit}"
    return f"{seconds}s"
