"""Report of the measurements: tables, and curves of distance over minutes."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import gan_core
from experiments.tools.time_to_quality.rows import Row, Table
from experiments.tools.timed_runs import Judged, markdown_row

_COLUMNS = {
    name: gan_core.evaluation.TITLES[name]
    for name in (
        *("frechet_distance", "kernel_distance", "coverage"),
        *("confident_share", "class_evenness", "copied_share"),
    )
}
LEGEND = (
    "Read: the share of samples of which the classifier is surer than 0.9. Evenness: how many of "
    "the rarest class it sees to one of the commonest. Copied: the share of samples as near to a "
    "training image as that is to its nearest other."
)
"""Values in the columns after the distances."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """Evaluations of one run over its minutes.

    Attributes:
      row: The row of the table.
      seed: Its seed.
      judged: Evaluations, oldest first.
      failure: Reason of an early end; empty without one.
      date: Date of the measurement; empty without one.
      machine: Letter of the machine.
    """

    row: Row
    seed: int
    judged: Sequence[Judged]
    failure: str = ""
    date: str = ""
    machine: str = ""

    def best(self, measure: str) -> Judged | None:
        """The evaluation with the smallest distance; None without any."""
        return min(self.judged, key=lambda each: each.values[measure], default=None)

    def minutes_to(self, measure: str, distance: float) -> float:
        """Minutes until the distance was first so small; infinite if it never was."""
        reached = (each.minutes for each in self.judged if each.values[measure] <= distance)
        return next(reached, math.inf)

    def minutes_to_collapse(self) -> float:
        """Minutes until a run would report a collapse; infinite if it never would.

        See `gan_core.run.Evaluation`: by the Fréchet distance and the coverage.
        """
        record, rule = gan_core.run.EvaluationRecord(), gan_core.run.Evaluation
        for each in self.judged:
            record = record.after(
                each.step,
                each.distance,
                each.values["coverage"],
                collapse_factor=rule.collapse_factor,
            )
            if record.much_worse == rule.collapse_evaluations:
                return each.minutes
        return math.inf


def markdown(table: Table, curves: Sequence[Curve], seen: Mapping[str, str]) -> str:
    """A Markdown table with the values of each seed's best evaluation.

    Args:
      table: The table.
      curves: Curves of all its runs.
      seen: Description of each row's picture, by the picture's name.
    """
    heading = ["run", "measured", "best at minute", *_COLUMNS.values()]
    heading += ["against the first", "what is seen"]
    lines = [
        f"### {table.name}: {table.minutes:g} minutes of training, {table.data}",
        "",
        markdown_row(heading),
        markdown_row(["---"] * len(heading)),
    ]
    for row in table.rows:
        of_row = [curve for curve in curves if curve.row == row]
        lines.append(_row_of(table, row, of_row, curves, seen))
    protocols = _protocols(curves) or [""]
    lines += [_row_of_reals(protocol, curves) for protocol in protocols]
    what = f"the smallest {_COLUMNS[table.measure]} distance of each seed"
    names = ", ".join(protocols) or "-"
    lines.append(f"\nMeasured as `{names}`; {what}, and the other values there.")
    return "\n".join(lines)


def _protocols(curves: Sequence[Curve]) -> list[str]:
    return sorted({each.protocol for curve in curves for each in curve.judged})


def _row_of_reals(protocol: str, curves: Sequence[Curve]) -> str:
    """Values of real images, measured like the runs of some machines."""
    own = [curve for curve in curves if any(each.protocol == protocol for each in curve.judged)]
    reals = own[0].judged[0].values if own else {}
    machines = ", ".join(sorted({curve.machine for curve in own}))
    values = [_numbers([reals.get(f"{name}_of_reals")]) for name in _COLUMNS]
    return markdown_row(["real images", machines, "", *values, "", ""])


def _row_of(
    table: Table,
    row: Row,
    of_row: Sequence[Curve],
    curves: Sequence[Curve],
    seen: Mapping[str, str],
) -> str:
    picture = table.picture_of(row)
    name = f"`{' '.join([row.flagfile, *row.flags])}`" if row.flagfile else f"peer: {row.name}"
    found = list(filter(None, (curve.best(table.measure) for curve in of_row)))
    if not found:
        failures = "; ".join(sorted({curve.failure for curve in of_row}))
        return markdown_row([name, "-", "-", *["-"] * len(_COLUMNS), "", failures])
    when = [f"{curve.date}, {curve.machine}" for curve in of_row if curve.judged]
    measured = "; ".join(dict.fromkeys(when))
    minutes = ", ".join(f"{each.minutes:.1f}" for each in found)
    collapses = [curve.minutes_to_collapse() for curve in of_row]
    if min(collapses) < math.inf:
        minutes += f"; collapsed at {min(collapses):.1f}"
    values = [_numbers([each.values.get(column) for each in found]) for column in _COLUMNS]
    words = f"[grid]({picture}.png): {seen.get(picture, 'not described yet')}"
    missing = [f"seed {curve.seed}: {curve.failure}" for curve in of_row if curve.failure]
    words = "; ".join([words, *missing])
    compared = _against_first(table, row, found, curves)
    return markdown_row([name, measured, minutes, *values, compared, words])


def _against_first(table: Table, row: Row, found: Sequence[Judged], curves: Sequence[Curve]) -> str:
    """The ratio to the distance of the first row's worst seed, and when that was passed."""
    first = [curve for curve in curves if curve.row == table.rows[0]]
    best = list(filter(None, (curve.best(table.measure) for curve in first)))
    if row == table.rows[0] or not best:
        return ""
    both = [curve for curve in curves if curve.row in (row, table.rows[0]) and curve.judged]
    if len({curve.machine for curve in both}) > 1:
        return "measured on another machine"
    if len({each.protocol for each in (*found, *best)}) > 1:
        return "measured in another way"
    distance = min(each.values[table.measure] for each in found)
    worst = max(each.values[table.measure] for each in best)
    if min(distance, worst) <= 0:
        return "not told apart from 0"
    times = distance / worst
    passed = max(curve.minutes_to(table.measure, distance) for curve in first)
    when = f", which it passes after {passed:.2g} minutes" if passed < math.inf else ""
    return f"{times:.1f} times the first row's worst seed{when}"


def _numbers(values: Sequence[float | None]) -> str:
    return ", ".join("-" if value is None else f"{value:.3g}" for value in values)


def curves_png(results: Sequence[tuple[Table, Sequence[Curve]]]) -> bytes:
    """Distance over minutes of training, one panel per table, as PNG bytes."""
    columns = min(2, len(results))
    rows = math.ceil(len(results) / columns)
    figure = Figure(figsize=(6.5 * columns, 4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel in list(panels)[len(results) :]:
        panel.set_axis_off()
    for panel, (table, curves) in zip(figure.axes, results, strict=False):
        for curve in curves:
            points = [(each.minutes, each.values[table.measure]) for each in curve.judged]
            color = f"C{table.rows.index(curve.row)}"
            if points:
                label = curve.row.name if curve.seed == 0 else None
                panel.plot(*zip(*points, strict=True), color=color, label=label, linewidth=1)
        panel.set_yscale("log")
        panel.set_title(table.name)
        panel.set_xlabel("minutes of training")
        panel.set_ylabel(f"{_COLUMNS[table.measure]} distance")
        panel.grid(which="both", alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
            panel.legend(**below, ncols=3, fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def halved(image: np.ndarray) -> np.ndarray:
    """[H, W, C] uint8 -> [H // 2, W // 2, C] uint8: the mean of each two by two pixels."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    return np.asarray(Image.fromarray(image).reduce(2, (0, 0, width, height)))
