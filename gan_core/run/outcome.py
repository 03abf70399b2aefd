"""How a run ends."""

from __future__ import annotations

import dataclasses
import enum


class Ending(enum.Enum):
    """Why a run came to its end."""

    DONE = "done"
    STOPPED = "stopped by a signal, and saved"
    TIME_IS_UP = "it has trained for as many minutes as asked for"
    NO_IMPROVEMENT = "samples have not become better for as long as asked for"
    COLLAPSED = "samples have become much worse than the best"
    NOT_FINITE = "a loss or a gradient was NaN or infinite"
    CANNOT_WRITE = "the folder could no longer be written to"
    WORKER_GONE = "another worker of the run is gone"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      ending: Why.
      step: Where.
      words: The same for people, in one line, with what to do now.
    """

    ending: Ending
    step: int
    words: str

    @property
    def is_failure(self) -> bool:
        """Whether something went wrong: it did not end as it was asked to."""
        as_asked = (Ending.DONE, Ending.STOPPED, Ending.TIME_IS_UP, Ending.NO_IMPROVEMENT)
        return self.ending not in as_asked
