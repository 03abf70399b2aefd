"""Where the seconds between a command and its first step go."""

from __future__ import annotations

import time

_seconds: dict[str, float] = {}
_last = time.monotonic()


def begin() -> None:
    """Starts the clock anew; without it the clock runs from the import of this module."""
    global _last
    _seconds.clear()
    _last = time.monotonic()


def lap(name: str) -> None:
    """Puts the time since the lap before down to `name`."""
    global _last
    now = time.monotonic()
    _seconds[name] = _seconds.get(name, 0.0) + now - _last
    _last = now


def describe(num_steps: int = 1) -> str:
    """`first step after 5.2 s: TensorFlow 3.0, data 0.1, ...`, from the laps so far."""
    laps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in _seconds.items())
    steps = "step" if num_steps == 1 else f"{num_steps} steps"
    return f"first {steps} after {sum(_seconds.values()):.1f} s: {laps}"
