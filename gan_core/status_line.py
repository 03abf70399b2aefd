"""What a run says on the screen: one status line an interval, and a bar on a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm

from gan_core.writers import Scalars, Writer


class StatusWriter(Writer):
    """Prints the scalars of a run as one line, and keeps a progress bar below on a terminal.

    Args:
      total_steps: Steps of the whole run.
      first_step: Where this process starts.
      stream: Where to print; standard output when None.
    """

    def __init__(self, total_steps: int, first_step: int = 0, stream: TextIO | None = None):
        self._total_steps = total_steps
        self._stream = stream or sys.stdout
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            file=self._stream,
            unit=" steps",
            disable=None,
            leave=False,
            dynamic_ncols=True,
        )

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._bar.update(step - self._bar.n)

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Prints the status line."""
        self._bar.write(status_line(step, self._total_steps, scalars), file=self._stream)
        self._stream.flush()

    def close(self) -> None:
        """Takes the bar off the screen."""
        self._bar.close()


def status_line(step: int, total_steps: int, scalars: Scalars) -> str:
    """One line for people from what `hooks.MetricsWindow` writes; missing parts are left out."""
    parts = [f"step {step:,}/{total_steps:,} ({100 * step / max(total_steps, 1):.0f}%)"]
    if "images_seen" in scalars:
        parts.append(f"{scalars['images_seen']:,.0f} images")
    if scalars.get("images_per_sec"):
        parts.append(f"{scalars['images_per_sec']:,.0f} images/s")
    if "data_wait" in scalars:
        parts.append(f"data wait {100 * scalars['data_wait']:.1f}%")
    if scalars.get("steps_per_sec"):
        parts.append(f"ETA {duration((total_steps - step) / scalars['steps_per_sec'])}")
    for label, name in (
        ("d_loss", "discriminator/loss"),
        ("g_loss", "generator/loss"),
        ("D(real)", "discriminator/real_probability"),
        ("D(fake)", "discriminator/fake_probability"),
    ):
        if name in scalars:
            parts.append(f"{label} {scalars[name]:.3f}")
    if "memory_gib" in scalars:
        parts.append(f"{scalars['memory_gib']:.2f} GiB")
    return " | ".join(parts)


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
