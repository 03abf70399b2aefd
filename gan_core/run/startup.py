"""Where the seconds between a command and its first step go."""

from __future__ import annotations

import time


class StartupClock:
    """Adds up the time of the parts of a start; the one of a process is `startup_clock`."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Starts anew; without it the clock runs from the import of this module."""
        self._seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Puts the time since the lap before down to `name`."""
        now = time.monotonic()
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._last
        self._last = now

    def describe(self, num_steps: int = 1) -> str:
        """`first step after 5.2 s: TensorFlow 3.0, data 0.1, ...`, from the laps so far."""
        laps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._seconds.items())
        steps = "step" if num_steps == 1 else f"{num_steps} steps"
        return f"first {steps} after {sum(self._seconds.values()):.1f} s: {laps}"


startup_clock = StartupClock()
