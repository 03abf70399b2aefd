"""Whether a run that ends for its time ends long before its learning rates have fallen."""

from __future__ import annotations

from collections.abc import Callable

from experiments.settings.settings import Settings
from gan_core.run import say as print_line

_SHARE_OF_THE_RUN = 0.05
"""So much of it is done before its speed is believed."""

_NEAR_ENOUGH = 0.8
"""Share of the decay below which it is told: more is within what the speed varies by."""


class LateDecay:
    """Says early, and once a start, where a run's time will be over long before its decay.

    The same flags make several times as many steps on another processor, and most of the measured
    runs are at their best where the learning rates have fallen.

    Args:
      settings: The run's.
      say: Prints a line for people.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None] = print_line):
        self._settings = settings
        self._say = say
        self._is_done = not settings.total_minutes or settings.learning_rate_schedule == "constant"

    def __call__(self, step: int, last_step: int) -> None:
        """Looks at the step at which the run will end, once that can be believed."""
        if self._is_done or step < _SHARE_OF_THE_RUN * last_step:
            return
        self._is_done = True
        settings = self._settings
        decay_steps = settings.learning_rate_decay_steps
        ends_for_its_time = last_step < settings.total_steps
        if not ends_for_its_time or last_step >= _NEAR_ENOUGH * decay_steps:
            return
        rounded = int(float(f"{last_step:.2g}"))
        if rounded > settings.learning_rate_warm_up_steps:
            remedy = (
                "to have them fall in that time start anew, in another workdir, with "
                f"--learning_rate_decay_steps={rounded}"
            )
        else:
            remedy = "the time ends within their warm-up: give more --total_minutes"
        self._say(
            f"at this speed {settings.total_minutes:g} minutes are about {rounded:,} steps, but "
            f"the learning rates fall until step {decay_steps:,}; {remedy}"
        )
