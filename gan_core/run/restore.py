"""Restoring a run from its folder, on all workers together; refusing another run's folder."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.run.checkpoint_files import Facts
from gan_core.run.program import RunParts
from gan_core.run.record import RunRecord
from gan_core.strategies import meet_workers, sum_over_workers


class Restorer:
    """Restores a run to the newest checkpoint in its folder.

    Args:
      parts: The parts of the run.

    Attributes:
      record: The record of the run: that of a new one until a checkpoint is restored.
      is_new: Whether no checkpoint was found.
    """

    def __init__(self, parts: RunParts):
        gan, program = parts.gan, parts.program
        own = {"latents": str(gan.latents), "value range": list(gan.value_range)}
        identity = {**program.facts, **own, **parts.data.identity()}
        self.record = self._new = RunRecord(identity, program.settings)
        self.is_new = True
        self._parts = parts

    def restore(self, *, read_only: bool) -> int:
        """Restores the newest undamaged checkpoint, if there is one; returns the step.

        The chief goes first, because it may rename damaged checkpoints.

        Args:
          read_only: Whether to leave damaged checkpoints as they are.

        Raises:
          ArgumentError: If the folder holds another run, or workers differ in settings, data or
            checkpoints.
        """
        parts, strategy = self._parts, self._parts.gan.strategy
        if not parts.is_chief:
            meet_workers(strategy)
        facts = parts.checkpoints.restore_latest(self._check, read_only=read_only)
        if parts.is_chief:
            meet_workers(strategy)
        self.is_new = facts is None
        parts.program.on_restore()
        agree_on = parts.program.workers_agree_on or parts.program.settings
        run = (self._new.identity, agree_on)
        check_workers_agree(strategy, parts.step, run, parts.workdir)
        return parts.step

    def _check(self, facts: Facts) -> None:
        found = RunRecord.from_facts(facts)
        for change in self._parts.program.changes(self._new, facts, self._parts.workdir):
            self._parts.say(f"changed: {change}")
        self.record = dataclasses.replace(
            found, identity=self._new.identity, settings=self._new.settings
        )


def check_workers_agree(
    strategy: tf.distribute.Strategy, step: int, run: object, workdir: Path
) -> None:
    """Raises `ArgumentError` if workers have different settings, data or checkpoints.

    Args:
      strategy: The strategy of all workers.
      step: The step that this worker restored.
      run: A value that must be equal on all workers.
      workdir: The folder that all share.
    """
    digest = zlib.crc32(repr(run).encode())
    (total, runs), num_workers = sum_over_workers(strategy, [step, digest])
    if runs != digest * num_workers:
        raise ArgumentError(
            "settings",
            "those of this worker",
            "must equal those of all workers, and so must the data",
            "give all the same flags and the same images",
        )
    if total != step * num_workers:
        raise ArgumentError(
            "workdir",
            workdir,
            f"must be one folder that all workers share, but this worker finds step {step} there "
            "and others do not",
            "put it on a shared file system",
        )
