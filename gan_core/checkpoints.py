"""Checkpoints of a run: written whole, restored whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import tensorflow as tf

from gan_core.errors import ArgumentError, check_positive
from gan_core.step import GanStep

_OTHER_RUN = "go on with the settings of the run, or start another in an empty workdir"


class Checkpoints:
    """The checkpoints of one run, a folder `step_<step>` each.

    A checkpoint is written beside its place and renamed, so that one cut off is never taken for
    a whole one.

    Args:
      folder: Where they are; made with the first.
      gan: What is saved: networks, optimizers and counters, by their attribute names.
      keep: How many of the newest to keep.

    Raises:
      ArgumentError: If `keep` is not above 0.
    """

    def __init__(self, folder: Path, gan: GanStep, keep: int = 3):
        check_positive("keep", keep, "keep at least the newest")
        self._folder = folder
        self._keep = keep
        self._gan = gan
        self._checkpoint = tf.train.Checkpoint(gan=gan)

    def save(self, facts: dict[str, object]) -> Path:
        """Saves the present state and drops the oldest beyond `keep`.

        Args:
          facts: What to keep beside the variables, as JSON: the experiment and its data, say.

        Returns:
          The checkpoint's folder.
        """
        step = int(self._gan.step.numpy())
        path = self._folder / f"step_{step:07d}"
        partial = self._folder / f"partial_{step:07d}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._checkpoint.write(str(partial / "variables"))
        (partial / "facts.json").write_text(json.dumps({"step": step, **facts}, indent=2) + "\n")
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
        for old in self.paths()[: -self._keep]:
            shutil.rmtree(old)
        return path

    def paths(self) -> list[Path]:
        """The checkpoints' folders, oldest first."""
        return sorted(self._folder.glob("step_*"), key=step_of)

    def restore_latest(
        self, expected_facts: dict[str, object] | None = None, *, for_training: bool = True
    ) -> dict[str, object] | None:
        """Restores the newest checkpoint and returns its facts; None where there is none.

        Args:
          expected_facts: What must stand in its facts.
          for_training: Whether everything is restored; otherwise only networks and the step,
            whatever optimizers the checkpoint was made with.

        Raises:
          ArgumentError: If a fact is another, or the checkpoint does not fit these networks and
            optimizers or is damaged.
        """
        paths = self.paths()
        if not paths:
            return None
        facts = json.loads((paths[-1] / "facts.json").read_text())
        for name, expected in (expected_facts or {}).items():
            if facts.get(name) != expected:
                raise ArgumentError(
                    name, expected, f"must be that of {paths[-1]}, {facts.get(name)}", _OTHER_RUN
                )
        try:
            variables = str(paths[-1] / "variables")
            if for_training:
                self._checkpoint.read(variables).assert_consumed()
            else:
                self._networks_alone().read(variables).expect_partial()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            cause = str(error).strip().splitlines()[0]
            raise ArgumentError(
                "checkpoint", paths[-1], f"does not fit these settings: {cause}", _OTHER_RUN
            ) from error
        return facts

    def _networks_alone(self) -> tf.train.Checkpoint:
        gan = self._gan
        parts = {"generator": gan.generator, "discriminator": gan.discriminator, "step": gan.step}
        return tf.train.Checkpoint(gan=tf.train.Checkpoint(**parts))


def step_of(path: Path) -> int:
    """The number in the name of a file or folder `step_<step>`."""
    return int(path.stem.removeprefix("step_"))
