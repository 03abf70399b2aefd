"""Checkpoints of a run: written atomically, verified, restored.

The variables in a checkpoint have names of this project, not of Keras's private attributes, so that
other versions of Keras can read them. `<n>` counts from 0.

| name | variable |
| --- | --- |
| `generator/<n>`, `discriminator/<n>` | the n-th of the network's `variables` |
| `generator_optimizer/<n>`, `discriminator_optimizer/<n>` | the n-th of the optimizer's |
| `generator_average/<n>` | the average of the generator's n-th float variable, if there is one |
| `game_state/<name>` | a number that the game keeps from update to update, if it keeps any |
| `step`, `images_seen`, `generator_updates`, `rollbacks` | the counters of `Gan` |
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from gan_core.errors import ArgumentError, check_positive
from gan_core.files import publish
from gan_core.gan import Gan
from gan_core.networks import tf_variable
from gan_core.run.checkpoint_files import (
    Facts,
    best_of,
    check_undamaged,
    find_checkpoint,
    find_damage,
    newest_undamaged,
    read_facts,
    step_paths,
    write_manifest,
)

_OTHER_RUN = "resume with the settings of the run, or start another in an empty workdir"
_COUNTERS = ("step", "images_seen", "generator_updates", "rollbacks")
_NETWORKS = ("generator", "discriminator")
_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


class Checkpoints:
    """The checkpoints of one run, one folder `step_<step>` each.

    Writes are atomic: files go to a temporary folder, with a manifest of their sizes and checksums,
    and are synced to the disk before the folder gets its name. Training waits only while the
    variables are written to the page cache; checksums, sync and rename follow in the background.

    Args:
      folder: The folder of all checkpoints; made with the first.
      gan: Its networks, optimizers and counters are saved.
      keep: Number of newest checkpoints to keep; the best is kept as well.

    Attributes:
      pause_seconds: Seconds that training has waited in `save` so far.

    Raises:
      ArgumentError: If `keep` is not above 0.
    """

    def __init__(self, folder: str | Path, gan: Gan, keep: int = 3):
        check_positive("keep", keep, "keep at least the newest")
        self.pause_seconds = 0.0
        self._folder = Path(folder)
        self._keep = keep
        self._gan = gan
        self._checkpoint = checkpoint_of(gan)
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._in_doubt = False

    def save(self, facts: Facts, score: float | None = None, protocol: str = "") -> None:
        """Saves the present state, and removes checkpoints that are neither new nor the best.

        A step that has a checkpoint already is not saved again. The checkpoint is safe on the disk
        once `wait` has returned.

        Args:
          facts: JSON values to keep next to the variables.
          score: Quality of the present state, lower is better; the lowest is kept.
          protocol: Name of how it was measured; only scores of the newest protocol are compared.

        Raises:
          ArgumentError: If there were updates, but no step was counted.
          OSError: If it cannot be written; earlier checkpoints are unchanged. Errors in the
            background are raised by `wait`, or by the next `save` if that fails too.
        """
        self._check_counted()
        start = time.monotonic()
        try:
            try:
                self.wait()
            except OSError:
                self._in_doubt = True
            measured = {"score": score} | ({"protocol": protocol} if protocol else {})
            self._save(facts | measured)
            if self._in_doubt:
                # After a failure, save in the foreground until one has succeeded.
                self.wait()
                self._in_doubt = False
        finally:
            self.pause_seconds += time.monotonic() - start

    def wait(self) -> None:
        """Waits until the last checkpoint is on the disk.

        Raises:
          OSError: If it could not be written; any other error of the background is raised as it is.
        """
        if self._thread:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error:
            raise error

    def paths(self) -> list[Path]:
        """The checkpoints' folders, oldest first."""
        return step_paths(self._folder)

    def best_path(self) -> Path | None:
        """The folder of the best checkpoint; None if none was saved with a score."""
        return best_of(self.paths())

    def drop_later_than_best(self) -> None:
        """Removes checkpoints after the best, newest first, so that no later state remains.

        If no checkpoint up to the best is undamaged, none is removed.
        """
        paths, best = self.paths(), self.best_path()
        past = paths[: paths.index(best) + 1] if best else []
        if any(find_damage(path) is None for path in reversed(past)):
            for path in reversed(paths[len(past) :]):
                shutil.rmtree(path)

    def restore_latest(
        self,
        check: Callable[[Facts], None] | None = None,
        *,
        for_training: bool = True,
        read_only: bool = False,
    ) -> Facts | None:
        """Restores the newest undamaged checkpoint; returns its facts, or None if there is none.

        Newer ones that are damaged are renamed to `damaged_step_<step>`, with a warning that names
        the damage.

        Args:
          check: Called with the facts before anything is restored; refuses them by raising.
          for_training: Whether to restore everything; otherwise only the networks and the step,
            whatever optimizers the checkpoint was made with.
          read_only: Whether to skip damaged ones without renaming; implied if not for training.

        Raises:
          ArgumentError: If the checkpoint does not fit these networks and optimizers, or cannot be
            read at the moment.
        """
        path = newest_undamaged(self._folder, rename_damaged=for_training and not read_only)
        if path is None:
            return None
        facts = read_facts(path)
        if check:
            check(facts)
        self._read(path, for_training)
        return facts

    def restore(self, which: str | int | Path, *, for_training: bool = True) -> Facts:
        """Restores one checkpoint; returns its facts.

        Args:
          which: `newest`, `best` (of those that were saved with a score), a step, or the folder of
            a checkpoint, which may belong to another run.
          for_training: As in `restore_latest`.

        Raises:
          ArgumentError: If there is no such checkpoint, or it is damaged, unreadable, or does not
            fit.
        """
        path = find_checkpoint(self._folder, which)
        check_undamaged(path)
        self._read(path, for_training)
        return read_facts(path)

    def _check_counted(self) -> None:
        gan = self._gan
        step, *updates = (
            int(counter.numpy()) for counter in (gan.step, gan.images_seen, gan.generator_updates)
        )
        if step == 0 and any(updates):
            raise ArgumentError(
                "step",
                0,
                "must count the steps: it is a checkpoint's name",
                "call gan.end_step() after the updates of each step",
            )

    def _save(self, facts: Facts) -> None:
        step = int(self._gan.step.numpy())
        path = self._folder / f"step_{step:07d}"
        partial = self._folder / f"partial_{step:07d}"
        if path.exists():
            return
        for rest in self._folder.glob("partial_*"):
            if rest.is_dir() and not rest.is_symlink():
                shutil.rmtree(rest)
            else:
                rest.unlink()
        # Not in the background: facts that JSON cannot hold are the caller's mistake.
        facts_json = json.dumps({"step": step, **facts}, indent=2) + "\n"
        partial.mkdir(parents=True)
        try:
            self._checkpoint.write(str(partial / "variables"))
        except tf.errors.OpError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(f"cannot write {partial}: {error.message}") from error
        self._thread = threading.Thread(target=self._commit, args=(partial, path, facts_json))
        self._thread.start()

    def _commit(self, partial: Path, path: Path, facts_json: str) -> None:
        try:
            (partial / "facts.json").write_text(facts_json, encoding="utf-8")
            write_manifest(partial)
            publish(partial, path)
            for old in self._superfluous():
                shutil.rmtree(old)
        except Exception as error:  # whatever it is, `wait` must not report success
            # A partial checkpoint would take the space that the next attempt needs.
            shutil.rmtree(partial, ignore_errors=True)
            self._error = error

    def _superfluous(self) -> list[Path]:
        paths = self.paths()
        best = best_of(paths)
        return [path for path in paths[: -self._keep] if path != best]

    def _read(self, path: Path, for_training: bool) -> None:
        variables = path / "variables"
        try:
            checkpoint = self._checkpoint if for_training else networks_of(self._gan)
            restored = checkpoint.read(str(variables))
            if for_training:
                restored.assert_consumed()
            else:
                restored.assert_existing_objects_matched().expect_partial()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            cause = str(error).strip().splitlines()[0]
            raise ArgumentError(
                "checkpoint", path, f"does not fit these settings: {cause}", _OTHER_RUN
            ) from error


def checkpoint_of(gan: Gan) -> tf.train.Checkpoint:
    """All variables of a run, under the names in the table above."""
    parts = {name: _variables(getattr(gan, name)) for name in (*_NETWORKS, *_OPTIMIZERS)}
    counters = {name: getattr(gan, name) for name in _COUNTERS}
    state = {"game_state": gan.game_state} if gan.game_state else {}
    return tf.train.Checkpoint(**parts, **_average(gan), **counters, **state)


def networks_of(gan: Gan) -> tf.train.Checkpoint:
    """The variables that sampling needs: networks, the average and the step."""
    parts = {name: _variables(getattr(gan, name)) for name in _NETWORKS}
    return tf.train.Checkpoint(**parts, **_average(gan), step=gan.step)


def _average(gan: Gan) -> dict[str, Any]:
    return {"generator_average": gan.generator_average.values} if gan.generator_average else {}


def _variables(owner: Any) -> list[tf.Variable]:
    return [tf_variable(variable) for variable in owner.variables]
