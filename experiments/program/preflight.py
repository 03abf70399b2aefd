"""What can be answered before TensorFlow is imported or data is touched."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gan_core
from experiments.program.experiment import Experiment
from experiments.settings.flag import IF_ALLOWED, NEVER
from experiments.settings.settings import Settings
from gan_core import ArgumentError

_PICTURE_ENDINGS = {".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".svg", ".pdf"}


def check(experiment: Experiment, settings: Settings) -> None:
    """Refuses what cannot work, by the settings and the files of the workdir alone.

    Raises:
      ArgumentError: If the folder cannot be written to, another process holds it, or it holds a
        run of another experiment, a run with other settings (to train), or no checkpoint such as
        is asked for (to generate or evaluate).
    """
    workdir = Path(settings.workdir)
    gan_core.run.check_names("workdir", workdir)
    facts = gan_core.run.newest_facts(workdir / "checkpoints")
    if settings.mode == "train":
        gan_core.run.check_writable("workdir", workdir)
        pictures = settings.data_dir if settings.dataset == "folder" else ""
        if pictures and os.path.realpath(workdir) == os.path.realpath(pictures):
            rule = "must not be the folder of pictures: the run's grids would become data"
            raise ArgumentError("workdir", workdir, rule, "name a new folder")
        has_workers = settings.strategy == "multi_worker" or settings.workers > 1
        is_one_of_them = has_workers and "TF_CONFIG" in os.environ  # the chief may hold it already
        if not (settings.dry_run or is_one_of_them):
            gan_core.run.RunLock.check_free(workdir)
        if facts:
            gan_core.run.RunRecord.from_facts(facts)  # refuses those that are none of a run
            if settings.precision == "auto":  # what it stands for here is found out later
                precision = facts["settings"].get("precision", "auto")
                settings = dataclasses.replace(settings, precision=precision)
            check_same_run(identity_of(experiment), facts, settings)
        return
    if settings.mode != "info":
        if not facts:
            raise ArgumentError("workdir", workdir, "must hold a checkpoint", "train there first")
        if settings.mode == "generate":
            output_of_generate(settings)
        if settings.checkpoint not in ("", "all"):
            gan_core.run.find_checkpoint(workdir / "checkpoints", settings.checkpoint)
    if facts and facts.get("experiment") != experiment.name:
        raise ArgumentError(
            "workdir",
            workdir,
            f"holds a run of {facts.get('experiment')}",
            "run that experiment, or choose another folder",
        )


def output_of_generate(settings: Settings) -> Path:
    """Where pictures go: a file `.png` for one grid, or a folder.

    Raises:
      ArgumentError: If it can be neither.
    """
    output = Path(settings.output or Path(settings.workdir) / "generated.png")
    gan_core.run.check_names("output", output)
    is_grid = output.suffix.lower() == ".png"
    if is_grid and output.is_dir():
        rule = "must not be a folder: what ends in .png is one grid"
        raise ArgumentError("output", output, rule, "name a file, or a folder without .png")
    if output.suffix.lower() in _PICTURE_ENDINGS:
        raise ArgumentError("output", output, "must end in .png, or be a folder", "use .png")
    gan_core.run.check_writable("output", output.parent if is_grid else output)
    return output


def identity_of(experiment: Experiment) -> dict[str, Any]:
    """What makes a run that of an experiment, beside its settings and its data."""
    return {
        "experiment": experiment.name,
        "latents": str(experiment.latents),
        "value range": list(experiment.value_range),
    }


def check_same_run(
    identity: Mapping[str, Any], facts: gan_core.run.Facts, settings: Settings
) -> list[str]:
    """Refuses to go on with a run that was another; returns the allowed changes.

    Args:
      identity: What must be as in `facts`, by name.
      facts: Those of the run's checkpoint.
      settings: Those of this start.

    Returns:
      What `--allow_changes` lets through, as `<name>: was <value>, now <value>`.

    Raises:
      ArgumentError: If something differs that may not; names it all.
    """
    other = gan_core.run.differences(facts, identity)
    changes = settings.changes_from(facts["settings"])
    other += changes[NEVER]
    allowed = changes[IF_ALLOWED]
    if other:
        rule = f"holds a run with other settings ({'; '.join(other + allowed)})"
        remedy = "go on with the settings of the run, or start another in an empty folder"
        raise ArgumentError("workdir", settings.workdir, rule, remedy)
    if allowed and not settings.allow_changes:
        rule = f"holds a run with other settings ({'; '.join(allowed)})"
        remedy = "go on with the settings of the run, or give --allow_changes"
        raise ArgumentError("workdir", settings.workdir, rule, remedy)
    return allowed
