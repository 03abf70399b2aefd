"""The program that owns a run (its settings and callbacks), and all fixed parts of a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_core.errors import ArgumentError
from gan_core.gan import Gan
from gan_core.run.checkpoint_files import Facts
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.evaluator import Evaluation
from gan_core.run.hooks import Hook
from gan_core.run.plan import Outcome, Plan, cannot_write
from gan_core.run.record import RunRecord, differences
from gan_core.run.run_data import RunData
from gan_core.run.samples import MakePicture
from gan_core.run.status_line import say as print_line
from gan_core.strategies import is_chief, sum_over_workers
from gan_core.update_schedules import Schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """The program's side of a `Run`: identity, pictures and callbacks.

    Attributes:
      title: Name of the run in captions.
      facts: Facts that must match on resume, by name, as JSON.
      settings: Settings of this start, as JSON; they must match on resume unless `check` decides.
      workers_agree_on: Value that must be equal on all workers; the settings when None.
      check: Called with this start's identity and the facts of the checkpoint to resume from;
        refuses by raising, or returns lines on allowed changes. When None, identity and settings
        must be equal.
      make_picture: Makes the picture of samples, uint8 [H, W, C]; a grid when None.
      on_restore: Called after each restore, to set what a checkpoint must not, for example
        learning rates.
      on_start: Called by the chief before training, to write into the folder.
      say: Prints a line for people.

    Raises:
      ArgumentError: If facts or settings are not JSON.
    """

    title: str = "gan"
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    workers_agree_on: object = None
    check: Callable[[Mapping[str, Any], Facts], Sequence[str]] | None = None
    make_picture: MakePicture | None = None
    on_restore: Callable[[], None] = lambda: None
    on_start: Callable[[], None] = lambda: None
    say: Callable[[str], None] = print_line

    def __post_init__(self) -> None:
        for name in ("facts", "settings"):
            value = getattr(self, name)
            try:
                # As a checkpoint returns it: lists for tuples, for example.
                as_json = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                remedy = "convert values by float(...) or str(...)"
                raise ArgumentError(name, value, f"must be JSON ({error})", remedy) from error
            object.__setattr__(self, name, as_json)

    def changes(self, new: RunRecord, facts: Facts, workdir: Path) -> Sequence[str]:
        """Allowed differences from the run in a folder, a line each.

        Args:
          new: The record of this start.
          facts: Facts of the checkpoint in the folder.
          workdir: The folder.

        Raises:
          ArgumentError: If it holds another run; lists the differences.
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
                "resume with that run's settings, or choose an empty folder",
            )
        return []


@dataclasses.dataclass(frozen=True)
class RunParts:
    """The parts of a run that stay the same from its start to its end.

    Attributes:
      gan: The gan that is trained.
      data: Its data.
      plan: Length and intervals.
      workdir: The run's folder.
      checkpoints: The checkpoints in it.
      program: The owner of the run.
      schedule: The updates of one step; `simultaneous()` when None.
      evaluation: When to judge samples, and the reactions; never when None.
      hooks: Called after each call of steps.
    """

    gan: Gan
    data: RunData
    plan: Plan
    workdir: Path
    checkpoints: Checkpoints
    program: Program
    schedule: Schedule | None = None
    evaluation: Evaluation | None = None
    hooks: Sequence[Hook] = ()

    @property
    def step(self) -> int:
        """The present step."""
        return int(self.gan.step.numpy())

    @property
    def is_chief(self) -> bool:
        """True if this process is the one that writes."""
        return is_chief(self.gan.strategy)

    def next_rollback(self, rollbacks: int) -> int:
        """The number of the next rollback, after `rollbacks` since this process started."""
        return max(rollbacks, int(self.gan.rollbacks.numpy())) + 1

    def say(self, words: str) -> None:
        """Prints a line on the chief; other workers are silent."""
        if self.is_chief:
            self.program.say(words)

    def write_on_chief(self, write: Callable[[], None]) -> Outcome | None:
        """Makes the chief write; the outcome, equal on all workers, if the disk refuses.

        All workers must call it.
        """
        refused: OSError | None = None
        if self.is_chief:
            try:
                write()
            except OSError as error:
                refused = error
        (has_failed,), _ = sum_over_workers(self.gan.strategy, [int(refused is not None)])
        return self.cannot_write(refused) if has_failed else None

    def cannot_write(self, error: OSError | None) -> Outcome:
        """The outcome of a failed write; `error` is None on workers other than the chief."""
        newest = next(reversed(self.checkpoints.paths()), None)
        return cannot_write(self.step, error or OSError("the chief reports it"), newest)
