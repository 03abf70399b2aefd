"""Differences between a disturbed run and the same run undisturbed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

import gan_core
from experiments.tools.crash_test.plan import LOG_EVERY, Plan

TIMINGS = {
    "seconds", "images_per_sec", "steps_per_sec", "data_wait", "checkpoint_pause", "memory_gib",
    "evaluation/seconds",
}  # fmt: skip
"""Values in a line of metrics that differ between any two runs."""
_NO_OUTPUT = {"run.lock", "run.holder"}
_COMPARED_BY_CONTENT = {"checkpoints", "tensorboard"}


def differences(plan: Plan, peaceful: Path, disturbed: Path) -> list[str]:
    """Differences in files, lines, events, samples, weights, optimizers and counters.

    Between runs on equal devices all must be equal to the bit but for `TIMINGS`; between others
    weights may differ as the plan says, and values and samples are not compared.
    """
    found = _file_differences(plan, peaceful, disturbed)
    variables = Path("checkpoints", plan.last_checkpoint, "variables")
    states = [state(run / variables) for run in (peaceful, disturbed)]
    if states[0].keys() != states[1].keys():
        found.append("the checkpoints hold other variables")
    else:
        relative = max(relative_differences(*states).values())
        one, other = states
        is_equal = all(one[name].tobytes() == other[name].tobytes() for name in one)
        if not (is_equal or (not plan.is_exact and relative <= plan.relative_tolerance)):
            found.append(f"variables differ by {relative:.2e} (relative)")
    lines = [gan_core.run.read_metrics(run / "metrics.jsonl") for run in (peaceful, disturbed)]
    expected_steps = list(range(LOG_EVERY, plan.total_steps + 1, LOG_EVERY))
    for run, run_lines in zip((peaceful, disturbed), lines, strict=True):
        if [line["step"] for line in run_lines] != expected_steps:
            found.append(f"{run.name}/metrics.jsonl does not have each step once")
        if _tensorboard_steps(run / "tensorboard") != expected_steps:
            found.append(f"{run.name}/tensorboard does not have each step once")
    if plan.is_exact:
        for one, other in zip(*lines, strict=False):
            names = (one.keys() | other.keys()) - TIMINGS
            found += [
                f"{name} of step {one['step']} differs"
                for name in sorted(names)
                if one.get(name) != other.get(name)
            ]
    return found


def relative_differences(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """|a - b| / |a| of each group of variables (a network, an optimizer) as one vector.

    Infinite where a value is not finite.
    """
    squares: dict[str, list[float]] = {}
    for name, value in one.items():
        group = squares.setdefault("/".join(name.split("/")[:2]), [0.0, 0.0])
        value, other_value = value.astype(np.float64), other[name].astype(np.float64)
        group[0] += float(np.sum((value - other_value) ** 2))
        group[1] += float(np.sum(value**2))
    relative = {
        name: (difference / max(total, 1e-30)) ** 0.5
        for name, (difference, total) in squares.items()
    }
    return {name: value if math.isfinite(value) else math.inf for name, value in relative.items()}


def state(variables: Path) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name."""
    reader = tf.train.load_checkpoint(str(variables))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE")
    }


def _file_differences(plan: Plan, peaceful: Path, disturbed: Path) -> list[str]:
    """Files that only one run has, and samples that differ.

    Left out are checkpoints, of which those before the last depend on where a run was stopped, and
    event files, which have the time in their names.
    """
    names = [
        {
            str(path.relative_to(run))
            for path in run.rglob("*")
            if path.is_file()
            and path.relative_to(run).parts[0] not in _COMPARED_BY_CONTENT | _NO_OUTPUT
        }
        for run in (peaceful, disturbed)
    ]
    found = [f"{name} is in one run only" for name in sorted(names[0] ^ names[1])]
    if plan.is_exact:
        pictures = (n for n in names[0] & names[1] if re.fullmatch(r"(?!curves).*\.(png|gif)", n))
        found += [
            f"{name} differs"
            for name in sorted(pictures)
            if (peaceful / name).read_bytes() != (disturbed / name).read_bytes()
        ]
    return found


def _tensorboard_steps(folder: Path) -> list[int]:
    steps = []
    for path in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if any(value.tag == "generator/loss" for value in event.summary.value):
                steps.append(event.step)
    return sorted(steps)
