"""`--mode=evaluate`: quality of a run's checkpoints, as a table and a CSV file."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

import gan_core
from experiments.program import build, preflight
from experiments.program.experiment import Experiment
from experiments.program.process import CANNOT_WRITE, DONE
from experiments.settings.evaluation import make_judge, write_csv
from experiments.settings.run import choose_checkpoint
from experiments.settings.settings import Settings
from gan_core import ArgumentError
from gan_core.run import say

_NUM_IN_PICTURE = 32


def run(experiment: Experiment, settings: Settings) -> int:
    """Evaluates one checkpoint, or all; returns the exit code."""
    output = preflight.output_of_evaluate(settings)
    chosen = _chosen_checkpoints(settings)
    settings, gan = build.build_for_samples(experiment, settings, chosen[-1])
    shape = build.image_shape(gan)
    source = build.open_source(settings, shape)
    say(f"{experiment.name} on {source.describe()}")
    judge = make_judge(settings, source, shape, search_all=True)
    say(f"{judge.protocol.num_samples:,} samples, {judge.protocol.num_real:,} real images")
    about = {f"protocol/{name}": value for name, value in judge.protocol.whole().items()}
    about |= {f"settings/{name}": value for name, value in dataclasses.asdict(settings).items()}
    checkpoints = gan_core.run.Checkpoints(chosen[0].parent, gan)
    rows: list[dict[str, Any]] = []
    for path in chosen:
        try:
            step = checkpoints.restore(path, for_training=False)["step"]
        except ArgumentError as error:
            if len(chosen) == 1:
                raise
            say(f"left out: {error}")  # damaged, or removed meanwhile by a run that trains
            continue
        samples = build.make_samples(gan, settings, source, settings.evaluation_samples)
        values = {key.split("@")[0]: value for key, value in judge.score(samples).items()}
        if not rows:
            say(_line("step", {}, ""))
            say(_line("real images", values, "_of_reals"))
        say(_line(f"{step:,}", values, ""))
        rows.append({"step": step, **values, **about})
        gan_core.run.make_folder("output", output.parent)
        try:
            write_csv(output, rows)
        except OSError as error:
            print(f"error: cannot write {output} ({error}); make room", file=sys.stderr)
            return CANNOT_WRITE
    if not rows:
        remedy = "continue or restart training"
        raise ArgumentError("checkpoint", "all", "has no readable checkpoint", remedy)
    if len(chosen) == 1:
        title = f"{experiment.name}, step {step:,}"
        _write_picture(output.with_suffix(".png"), judge, samples, title)
    say(f"all values: {output}")
    return DONE


def _chosen_checkpoints(settings: Settings) -> list[Path]:
    """The folders of the checkpoints that `--checkpoint` names, oldest first."""
    if settings.checkpoint != "all":
        return [choose_checkpoint(settings)]
    paths = gan_core.run.step_paths(Path(settings.workdir) / "checkpoints")
    return list(filter(_has_facts, paths))  # preflight has found one with facts at least


def _has_facts(path: Path) -> bool:
    try:
        gan_core.run.read_facts(path)
    except ArgumentError as error:
        say(f"left out: {error}")
        return False
    return True


def _line(name: str, values: dict[str, float], ending: str) -> str:
    """A row of the table, 80 characters at most; the column titles if there are no values."""
    cells = [f"{name:>11}"]
    for key in gan_core.evaluation.IN_TABLE:
        title = gan_core.evaluation.TITLES[key]
        width = max(8, len(title) + 1)
        value = values.get(gan_core.evaluation.metric_name(key + ending, values))
        text = title if not values else "-" if value is None else f"{value:.3g}"
        cells.append(f" {text:>{width - 1}}")
    return "".join(cells)


def _write_picture(
    path: Path, judge: gan_core.evaluation.Judge, samples: np.ndarray, title: str
) -> None:
    """Writes samples beside their nearest training images."""
    picture = gan_core.run.grid(judge.beside_nearest(samples[:_NUM_IN_PICTURE]), 8)
    words = f"{title}: samples, each left of its nearest training image"
    data = gan_core.run.png_bytes(gan_core.run.with_caption(picture, words), words)
    gan_core.run.write_durably(path, data)
