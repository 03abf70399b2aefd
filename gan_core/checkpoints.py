"""Checkpoints of a run: written whole, restored whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import tensorflow as tf

from gan_core.errors import check_positive
from gan_core.step import GanStep


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
        return sorted(self._folder.glob("step_*"))

    def restore_latest(self) -> dict[str, object] | None:
        """Restores the newest checkpoint and returns its facts; None where there is none."""
        paths = self.paths()
        if not paths:
            return None
        self._checkpoint.read(str(paths[-1] / "variables")).assert_consumed()
        return json.loads((paths[-1] / "facts.json").read_text())
