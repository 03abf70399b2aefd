"""What a checkpoint keeps of a run beside its variables, typed, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gan_core.run.checkpoint_files import Facts

_OTHER_FACTS = {"step", "score", "settings", "outputs"}


@dataclasses.dataclass(frozen=True)
class WindowRecord:
    """What was collected since the last line of metrics.

    Attributes:
      start_step: The step of that line.
      seconds: Of training in the whole run so far.
      sums: Sums over the steps since, by metric.
    """

    start_step: int = 0
    seconds: float = 0.0
    sums: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """Where a run stands, for the start that goes on with it.

    Attributes:
      identity: What makes it this run and no other, by name.
      settings: What it was started with.
      window: What was collected since its last line of metrics.
      last_picture: The step of its newest grid of samples.
    """

    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    window: WindowRecord = WindowRecord()
    last_picture: int = 0

    def facts(self) -> Facts:
        """As a checkpoint keeps it."""
        window = dataclasses.asdict(self.window)
        outputs = {"metrics_window": window, "last_picture": self.last_picture}
        return {**self.identity, "settings": dict(self.settings), "outputs": outputs}

    @classmethod
    def from_facts(cls, facts: Facts) -> RunRecord:
        """From a checkpoint's facts.

        Raises:
          KeyError: If they are not those of a run.
        """
        identity = {name: value for name, value in facts.items() if name not in _OTHER_FACTS}
        outputs = facts["outputs"]
        window = WindowRecord(**outputs["metrics_window"])
        return cls(identity, facts["settings"], window, outputs["last_picture"])
