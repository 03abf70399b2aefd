"""The screen of a run: a table with a line per interval, a progress bar, a warning."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from gan_core.run.plan import Plan
from gan_core.run.writers import Scalars, Writer

_LINES_BETWEEN_HEADINGS = 20
_NEW_SHARE = 0.3
"""Weight of the newest interval in the smoothed seconds per step, which give the time left."""

_TRUSTED_SHARE = 0.05
"""Share of a run after which its measured speed is trusted."""

_NEAR_ENOUGH = 0.8
"""Share of the decay of the learning rates below which an earlier end is worth a warning: the
speed of a run varies by the rest."""

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
"""Columns and their widths: 79 characters, for terminals of 80."""


def say(words: str, stream: TextIO | None = None) -> None:
    """Prints a line above the progress bar, if there is one, wrapped to the terminal's width.

    Args:
      words: The line.
      stream: Standard output when None. A broken pipe is no error: Ctrl-C also ends the `tee` that
        a run may print to.
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


class LateDecayWarning:
    """Warns once if a run's minutes will be over long before its learning rates have fallen.

    The same settings make several times as many steps on another processor, and most runs are best
    where the learning rates have fallen.

    Args:
      plan: The run's.
      say: Prints a line for people.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None] = say):
        self._plan = plan
        self._say = say
        self._is_done = not (plan.total_minutes and plan.learning_rate_decay_steps)

    def __call__(self, step: int, last_step: int) -> None:
        """Compares the step at which the run will end with the decay, once it can be trusted."""
        if self._is_done or step < _TRUSTED_SHARE * last_step:
            return
        self._is_done = True
        plan = self._plan
        decay_steps = plan.learning_rate_decay_steps
        if last_step >= plan.total_steps or last_step >= _NEAR_ENOUGH * decay_steps:
            return
        rounded = int(float(f"{last_step:.2g}"))
        remedy = "the run ends during their warm-up: give a larger total_minutes"
        if rounded > plan.learning_rate_warm_up_steps:
            remedy = (
                "to let them fall in that time start again, in another workdir, with "
                f"learning_rate_decay_steps={rounded}"
            )
        self._say(
            f"at this speed {plan.total_minutes:g} minutes are about {rounded:,} steps, but "
            f"the learning rates fall until step {decay_steps:,}; {remedy}"
        )


class StatusWriter(Writer):
    """Prints the scalars of a run as lines of a table, and a bar below it on a terminal.

    A line has at most 79 characters. The time left (ETA) is the number of remaining steps times the
    smoothed seconds per step; both exclude compiling.

    Args:
      plan: The run's.
      first_step: The step at which this process starts.
      stream: Standard output when None.
      time_left: Seconds after which the run ends, if that is before its last step.
      say: Prints a line for people.
    """

    def __init__(
        self,
        plan: Plan,
        first_step: int = 0,
        stream: TextIO | None = None,
        time_left: Callable[[], float] = lambda: math.inf,
        say: Callable[[str], None] = say,
    ):
        self._total_steps = plan.total_steps
        self._time_left = time_left
        self._warn_of_late_decay = LateDecayWarning(plan, say)
        self._stream = stream or sys.stdout
        self._num_lines = 0
        self._seconds_a_step: float | None = None
        self._bar = tqdm(
            total=plan.total_steps,
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
        """Shows the best evaluation so far next to the bar."""
        self._bar.set_postfix_str(f"best {value:.3g} at {step:,}")

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Prints a line, and a heading above every twentieth."""
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
            self._warn_of_late_decay(step, last)

    def close(self) -> None:
        """Removes the bar from the screen."""
        self._bar.close()

    def _smooth_speed(self, scalars: Scalars) -> None:
        if scalars.get("steps_per_sec"):
            newest = 1.0 / scalars["steps_per_sec"]
            before = self._seconds_a_step or newest
            self._seconds_a_step = before + _NEW_SHARE * (newest - before)

    def _last_step(self, step: int) -> int:
        """The last step, or the step at which the time will be up if that is earlier."""
        time_left = self._time_left()
        if self._seconds_a_step is None or time_left == math.inf:
            return self._total_steps
        return min(self._total_steps, step + round(max(0.0, time_left) / self._seconds_a_step))


def status_heading() -> str:
    """The heading of the table."""
    return "".join(f"{name:>{width}}" for name, width in _WIDTHS.items())


def status_line(
    step: int, total_steps: int, scalars: Scalars, seconds_left: float | None = None
) -> str:
    """One line of the table; unknown figures are dashes.

    Args:
      step: Steps done.
      total_steps: Steps of the whole run.
      scalars: Means since the line before, as `hooks.MetricsWindow` writes them; `data_wait` is a
        share of the time, 0 to 1.
      seconds_left: Seconds until the last step; None where that is not known.
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
    """A figure of at most 7 characters; None for None."""
    if value is None:
        return None
    text = f"{factor * value:,.{decimals}f}{unit}"
    return text if len(text) < 8 else f"{factor * value:.0e}{unit}"


def duration(seconds: float) -> str:
    """Seconds as text: `42s`, `12m 05s`, `3h 07m`, `2d 04h`."""
    seconds = round(seconds)
    for unit, size, smaller_unit, smaller_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // smaller_size:02d}{smaller_unit}"
    return f"{seconds}s"
