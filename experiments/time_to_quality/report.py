"""What was found, for people: a table, and curves of distance over minutes."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from experiments.time_to_quality.rows import Row, Table
from experiments.timed_runs import Judged

_COLUMNS = {
    "frechet_distance": "Fréchet",
    "kernel_distance": "kernel",
    "coverage": "coverage",
    "confident_share": "read",
    "class_evenness": "evenness",
    "copied_share": "copied",
}


@dataclasses.dataclass(frozen=True)
class Curve:
    """What one run was judged to be, over its minutes.

    Attributes:
      row: What was trained.
      seed: With which seed.
      judged: Oldest first.
      failure: Why it ended early; empty where it did not.
    """

    row: Row
    seed: int
    judged: Sequence[Judged]
    failure: str = ""

    def best(self, measure: str) -> Judged | None:
        """The evaluation with the smallest distance; None where there was none."""
        return min(self.judged, key=lambda each: each.values[measure], default=None)

    def minutes_to(self, measure: str, distance: float) -> float:
        """Until the distance was first so small; infinite where it never was."""
        reached = (each.minutes for each in self.judged if each.values[measure] <= distance)
        return next(reached, math.inf)


def markdown(table: Table, curves: Sequence[Curve]) -> str:
    """A Markdown table: a row a run, with what it is to the first row's runs."""
    measure = table.measure
    best = [curve.best(measure) for curve in curves]
    own = [
        found
        for curve, found in zip(curves, best, strict=True)
        if curve.row == table.rows[0] and found
    ]
    worst_own = max((found.values[measure] for found in own), default=math.nan)
    lines = [
        f"### {table.name}: {table.minutes:g} minutes of training",
        "",
        _row(["run", "seed", "minute", *_COLUMNS.values(), "of the first row's worst seed"]),
        _row(["---"] * (len(_COLUMNS) + 4)),
    ]
    for curve, found in zip(curves, best, strict=True):
        name = f"`{curve.row.flagfile}`" if curve.row.flagfile else f"peer: {curve.row.name}"
        if found is None:
            lines.append(_row([name, curve.seed, "-", *["-"] * len(_COLUMNS), curve.failure]))
            continue
        ratio = ""
        if curve.row != table.rows[0]:
            ratio = f"{found.values[measure] / worst_own:.1f} times"
            ratio += _sooner(table, curves, found.values[measure])
        cells = [_number(found.values.get(name)) for name in _COLUMNS]
        lines.append(_row([name, curve.seed, f"{found.minutes:.1f}", *cells, ratio]))
    reals = next((found.values for found in best if found), {})
    cells = [_number(reals.get(f"{name}_of_reals")) for name in _COLUMNS]
    lines.append(_row(["real images", "", "", *cells, ""]))
    protocols = sorted({found.protocol for found in best if found})
    lines.append(
        f"\nMeasured as {', '.join(protocols) or '-'}; the smallest {_COLUMNS[measure]} distance."
    )
    return "\n".join(lines)


def _sooner(table: Table, curves: Sequence[Curve], distance: float) -> str:
    minutes = [
        curve.minutes_to(table.measure, distance) for curve in curves if curve.row == table.rows[0]
    ]
    return (
        f"; passed after {max(minutes):.2g} minutes" if minutes and max(minutes) < math.inf else ""
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def curves_png(results: Sequence[tuple[Table, Sequence[Curve]]]) -> bytes:
    """A panel a table: distance over minutes of training, as PNG bytes."""
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
            label = curve.row.name if curve.seed == 0 else None
            if points:
                panel.plot(*zip(*points, strict=True), color=color, label=label, linewidth=1)
        panel.set_yscale("log")
        panel.set_title(table.name)
        panel.set_xlabel("minutes of training")
        panel.set_ylabel(f"{_COLUMNS[table.measure]} distance")
        panel.grid(which="both", alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
