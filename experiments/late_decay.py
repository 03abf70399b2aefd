"""Whether a run that ends for its time ends long before its learning rates have fallen."""

from __future__ import annotations

import time
from collections.abc import Callable

from gan_core import Metrics

_MOST_SECONDS = 30.0
_SHARE_OF_THE_TIME = 0.1
"""The speed is that of the first half minute, or of the first tenth of a shorter run."""

_NEAR_ENOUGH = 0.8
"""Share of the decay up to which it is told: less is within what the speed varies by."""


class LateDecay:
    """Says early, and once, where a run's time will be over long before its decay.

    A hook. The same flags make several times as many steps on another processor, and most of the
    measured runs are at their best where the learning rates have fallen. Of a run that goes on it
    says nothing: where a decay ends is chosen at the start.

    Args:
      minutes: Of training, after which the run ends.
      decay_steps: The step from which on the learning rates no longer fall.
      say: Prints a line for people.
      clock: Seconds, from any origin.
    """

    def __init__(
        self,
        minutes: float,
        decay_steps: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._minutes = minutes
        self._decay_steps = decay_steps
        self._say = say
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._is_done = False

    def __call__(self, step: int, metrics: Metrics) -> None:
        """Looks at the speed once there is enough to tell it by."""
        del metrics
        now = self._clock()
        if self._first is None:
            self._first = step, now
            self._is_done = step > 1  # a run's first call is one step
        first_step, first_seconds = self._first
        seconds = now - first_seconds
        if self._is_done or seconds < min(_MOST_SECONDS, _SHARE_OF_THE_TIME * 60 * self._minutes):
            return
        self._is_done = True
        last_step = (step - first_step) / seconds * 60 * self._minutes
        if last_step < _NEAR_ENOUGH * self._decay_steps:
            rounded = max(1, int(float(f"{last_step:.2g}")))
            self._say(
                f"at this speed {self._minutes:g} minutes are about {rounded:,} steps, but the "
                f"learning rates fall until step {self._decay_steps:,}; to have them fall in that "
                f"time start anew, in another workdir, with --learning_rate_decay_steps={rounded}"
            )
