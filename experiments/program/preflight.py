"""Checks of the workdir and the output that need neither TensorFlow nor the data."""

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

_OTHER_PICTURES = {".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".svg", ".pdf"}


def check(experiment: Experiment, settings: Settings) -> None:
    """Refuses what cannot work, judging by the settings and the files in the workdir.

    Raises:
      ArgumentError: If the folder cannot be written to, another process holds it, or it holds a
        run of another experiment, a run with other settings (when training), or no checkpoint
        (when generating or evaluating).
    """
    workdir = Path(settings.workdir)
    gan_core.run.check_names("workdir", workdir)
    facts = gan_core.run.newest_facts(workdir / "checkpoints")
    if settings.mode == "train":
        _check_training(experiment, settings, workdir, facts)
        return
    if settings.mode != "info":
        if not facts:
            raise ArgumentError("workdir", workdir, "must hold a checkpoint", "train there first")
        (output_of_generate if settings.mode == "generate" else output_of_evaluate)(settings)
        if settings.checkpoint not in ("", "all"):
            gan_core.run.find_checkpoint(workdir / "checkpoints", settings.checkpoint)
    if facts and facts.get("experiment") != experiment.name:
        rule = f"holds a run of {facts.get('experiment')}"
        remedy = "run that experiment, or choose another folder"
        raise ArgumentError("workdir", workdir, rule, remedy)


def output_of_generate(settings: Settings) -> Path:
    """The output of `--mode=generate`: a `.png` file for one grid, or a folder.

    Raises:
      ArgumentError: If it can be neither.
    """
    output = Path(settings.output or Path(settings.workdir) / "generated.png")
    gan_core.run.check_names("output", output)
    is_grid = output.suffix.lower() == ".png"
    if is_grid and output.is_dir():
        rule = "must not be a folder, because a name that ends in .png means one grid"
        raise ArgumentError("output", output, rule, "name a file, or a folder without .png")
    if output.suffix.lower() in _OTHER_PICTURES:
        raise ArgumentError("output", output, "must end in .png, or be a folder", "use .png")
    gan_core.run.check_writable("output", output.parent if is_grid else output)
    return output


def output_of_evaluate(settings: Settings) -> Path:
    """The output of `--mode=evaluate`: a `.csv` file.

    Raises:
      ArgumentError: If it has another name, or cannot be written to.
    """
    output = Path(settings.output or Path(settings.workdir) / "evaluation.csv")
    if output.suffix != ".csv":
        raise ArgumentError("output", output, "must end in .csv", "name a table")
    gan_core.run.check_writable("output", output.parent)
    return output


def check_same_run(
    identity: Mapping[str, Any], facts: gan_core.run.Facts, settings: Settings
) -> list[str]:
    """Refuses to resume a run with settings that must match; returns the allowed changes.

    Args:
      identity: Values that must equal those in `facts`, by name.
      facts: Facts of the run's checkpoint.
      settings: Settings of this start.

    Returns:
      Changes that `--allow_changes` allows, as `<name>: was <value>, now <value>`.

    Raises:
      ArgumentError: With a list of all differences that are not allowed.
    """
    changes = settings.changes_from(facts["settings"])
    refused = gan_core.run.differences(facts, identity) + changes[NEVER]
    allowed = changes[IF_ALLOWED]
    if refused or (allowed and not settings.allow_changes):
        rule = f"holds a run with other settings ({'; '.join(refused + allowed)})"
        other = "start another in an empty folder" if refused else "give --allow_changes"
        remedy = f"resume with the settings of the run, or {other}"
        raise ArgumentError("workdir", settings.workdir, rule, remedy)
    return allowed


def _check_training(
    experiment: Experiment, settings: Settings, workdir: Path, facts: gan_core.run.Facts | None
) -> None:
    gan_core.run.check_writable("workdir", workdir)
    pictures = settings.data_dir if settings.dataset == "folder" else ""
    if pictures and os.path.realpath(workdir) == os.path.realpath(pictures):
        rule = "must not be the folder of pictures: the run's grids would become data"
        raise ArgumentError("workdir", workdir, rule, "name a new folder")
    has_workers = settings.strategy == "multi_worker" or settings.workers > 1
    is_worker = has_workers and "TF_CONFIG" in os.environ  # the chief may hold the folder already
    if not (settings.dry_run or is_worker):
        gan_core.run.RunLock.check_free(workdir)
    if facts:
        gan_core.run.RunRecord.from_facts(facts)  # refuses facts of anything but a run
        if settings.precision == "auto":  # resolved after TensorFlow is imported
            precision = facts["settings"].get("precision", "auto")
            settings = dataclasses.replace(settings, precision=precision)
        identity = {
            "experiment": experiment.name,
            "latents": str(experiment.latents),
            "value range": list(experiment.value_range),
        }
        check_same_run(identity, facts, settings)
