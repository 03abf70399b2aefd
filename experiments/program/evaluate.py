"""`--mode=evaluate`: how good a run's checkpoints are, as a table and a CSV file."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from pathlib import Path
from typing import Any

import gan_core
from experiments.program import build as parts
from experiments.program import judging
from experiments.program.experiment import Experiment
from experiments.program.process import CANNOT_WRITE, DONE
from experiments.settings.settings import Settings
from gan_core import ArgumentError
from gan_core.run import say

_NUM_IN_PICTURE = 32
_IN_TABLE = {
    "frechet_distance": "Fréchet",
    "kernel_distance": "kernel",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "classes_covered": "classes",
    "confident_share": "read",
    "copied_share": "copied",
}


def run(experiment: Experiment, settings: Settings) -> int:
    """Judges one checkpoint, or all; returns the exit code."""
    output = Path(settings.output or Path(settings.workdir) / "evaluation.csv")
    if output.suffix != ".csv":
        raise ArgumentError("output", output, "must end in .csv", "name a table")
    gan_core.run.check_writable("output", output.parent)
    folder = Path(settings.workdir) / "checkpoints"
    chosen = _checkpoints_to_judge(folder, settings)
    strategy = parts.make_strategy(settings)
    settings, _ = parts.choose_precision(settings)
    settings = parts.as_in_the_run(settings, chosen[-1])
    gan = parts.build_gan(experiment, settings, strategy)
    source = parts.open_source(settings, parts.image_shape(gan))
    say(f"{experiment.name} on {source.facts()}")
    judge = judging.make_judge(settings, source, parts.image_shape(gan), search_all=True)
    say(f"{judge.protocol.num_samples:,} samples, {judge.protocol.num_real:,} real images")
    checkpoints = gan_core.run.Checkpoints(folder, gan)
    rows: list[dict[str, Any]] = []
    for path in chosen:
        try:
            facts = checkpoints.restore(path, for_training=False)
        except ArgumentError as error:
            if len(chosen) == 1:
                raise
            say(f"left out: {error}")  # damaged, or dropped meanwhile by a run that trains
            continue
        samples = judging.make_samples(gan, settings, source, settings.evaluation_samples)
        values = {key.split("@")[0]: value for key, value in judge.score(samples).items()}
        if not rows:
            say(_line("step", {}, ""))
            say(_line("real images", values, "_of_reals"))
        say(_line(f"{facts['step']:,}", values, ""))
        rows.append({"step": facts["step"], **values})
        gan_core.run.make_folder("output", output.parent)
        try:
            _write(output, rows, judge.protocol, settings)
        except OSError as error:
            print(f"error: cannot write {output} ({error}); make room", file=sys.stderr)
            return CANNOT_WRITE
    if not rows:
        raise ArgumentError("checkpoint", "all", "can none of them be read", "train on, or again")
    if len(chosen) == 1:
        picture = gan_core.run.grid(judge.beside_nearest(samples[:_NUM_IN_PICTURE]), 8)
        words = f"{experiment.name}, step {facts['step']:,}: samples, each left of its nearest "
        words += "training image"
        data = gan_core.run.png_bytes(gan_core.run.with_caption(picture, words), words)
        gan_core.run.write_durably(output.with_suffix(".png"), data)
    say(f"all values: {output}")
    return DONE


def _checkpoints_to_judge(folder: Path, settings: Settings) -> list[Path]:
    """The folders of what `--checkpoint` names, oldest first."""
    if settings.checkpoint == "all":  # the start has seen one with facts at least
        return list(filter(_has_facts, gan_core.run.step_paths(folder)))
    return [parts.find_checkpoint(folder, settings.checkpoint)]


def _has_facts(path: Path) -> bool:
    try:
        gan_core.run.read_facts(path)
    except ArgumentError as error:
        say(f"left out: {error}")
        return False
    return True


def _line(name: str, values: dict[str, float], ending: str) -> str:
    """A row of the table, of 80 characters at most; of names where there are no values."""
    cells = [f"{name:>11}"]
    for key, title in _IN_TABLE.items():
        width = max(8, len(title) + 1)
        value = values.get(gan_core.evaluation.metric_name(key + ending, values))
        text = title if not values else "-" if value is None else f"{value:.3g}"
        cells.append(f" {text:>{width - 1}}")
    return "".join(cells)


def _write(
    path: Path,
    rows: list[dict[str, Any]],
    protocol: gan_core.evaluation.Protocol,
    settings: Settings,
) -> None:
    """A row a checkpoint: values, and all that they depend on."""
    about = {f"protocol/{name}": value for name, value in protocol.whole().items()}
    about |= {f"settings/{name}": value for name, value in dataclasses.asdict(settings).items()}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *about], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | about for row in rows)
    gan_core.run.write_durably(path, text.getvalue().encode())
