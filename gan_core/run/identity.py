"""What makes a run the one that it is, and what tells it from another."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.run.checkpoint_files import Facts
from gan_core.run.record import RunRecord, differences
from gan_core.strategies import sum_over_workers


@dataclasses.dataclass(frozen=True)
class Identity:
    """What makes a run the one that it is, kept in its checkpoints.

    Attributes:
      facts: What another start must have alike, by name, as JSON.
      settings: What the run was started with, as JSON.
      workers_agree_on: What must be alike on all workers; the settings when None.
      check: Called with a checkpoint's facts; refuses them by raising, or returns lines on what is
        allowed to differ. When None, facts and settings must be equal.

    Raises:
      ArgumentError: If facts or settings are no JSON.
    """

    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    workers_agree_on: object = None
    check: Callable[[Mapping[str, Any], Facts], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        for name in ("facts", "settings"):
            value = getattr(self, name)
            try:
                # As it will come back from a checkpoint: lists for tuples, say.
                as_json = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                rule, remedy = f"must be JSON ({error})", "give float(...) or str(...), say"
                raise ArgumentError(name, value, rule, remedy) from error
            object.__setattr__(self, name, as_json)

    def changes(self, new: RunRecord, facts: Facts, workdir: Path) -> Sequence[str]:
        """What differs from the run in a folder and may.

        Args:
          new: This start's.
          facts: Those of the checkpoint there.
          workdir: The folder.

        Raises:
          ArgumentError: With a list of what may not differ.
        """
        if self.check:
            return self.check(new.identity, facts)
        changes = differences(facts, new.identity)
        changes += differences(facts["settings"], new.settings)
        if changes:
            raise ArgumentError(
                "workdir",
                workdir,
                f"holds another run ({'; '.join(changes)})",
                "go on with what that run was started with, or choose an empty folder",
            )
        return []


def check_workers_agree(
    strategy: tf.distribute.Strategy, step: int, run: object, workdir: Path
) -> None:
    """Raises `ArgumentError` where workers have other settings, data or checkpoints.

    Args:
      strategy: Whose workers.
      step: Where this worker stands.
      run: What must be alike on all.
      workdir: The folder that all share.
    """
    digest = zlib.crc32(repr(run).encode())
    (total, runs), num_workers = sum_over_workers(strategy, [step, digest])
    if runs != digest * num_workers:
        raise ArgumentError(
            "settings",
            "those of this worker",
            "must be those of all workers, and so must the data",
            "give all the same flags and the same images",
        )
    if total != step * num_workers:
        raise ArgumentError(
            "workdir",
            workdir,
            f"must be one folder that all workers share, but this one finds step {step} there "
            "and another one another",
            "put it on a shared file system",
        )
