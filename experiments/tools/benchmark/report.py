"""Tables and a chart of the benchmark's results."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.tools.benchmark.turns import Result


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All contestants at one task.

    Attributes:
      experiment: Name of the experiment.
      batch_size: Images per step.
      flops: Floating-point operations of a step.
      results: Engines first.
    """

    experiment: str
    batch_size: int
    flops: int
    results: Sequence[Result]

    @property
    def title(self) -> str:
        """A title such as `svhn_dcgan, batch 128`."""
        return f"{self.experiment}, batch {self.batch_size}"


def ratio(result: Result, precision: str | None = None) -> float:
    """A step's time divided by the engine's in the same turn; median over the turns.

    Args:
      result: The contestant's result.
      precision: Precision of the engine; its fastest when None.
    """
    pairs = zip(result.step_seconds, result.engine_seconds, strict=True)
    return float(
        np.median(
            [
                seconds / (engine[precision] if precision else min(engine.values()))
                for seconds, engine in pairs
            ]
        )
    )


def table(comparison: Comparison, ceilings: dict[str, float]) -> str:
    """A Markdown table of one comparison; ceilings in FLOP/s by precision."""
    lines = [
        f"### {comparison.title}: {comparison.flops / 1e9:.1f} GFLOP a step",
        "",
        "| | precision | ms a step, median (min to max) | images/s | time, of gan_core's fastest "
        "| of gan_core's at the same precision | share of the ceiling | waiting for data | memory "
        "| first step |",
        "| --- " * 10 + "|",
    ]
    for result in comparison.results:
        median = result.median_seconds
        share = comparison.flops / median / ceilings[result.precision]
        waiting = "" if result.waiting_share is None else f"{100 * result.waiting_share:.1f}%"
        lines.append(
            f"| {result.title} | {result.precision} | {_milliseconds(median)} "
            f"({_milliseconds(min(result.step_seconds))} to "
            f"{_milliseconds(max(result.step_seconds))}) "
            f"| {comparison.batch_size / median:,.0f} | {ratio(result):.2f} "
            f"| {ratio(result, result.precision):.2f} | {100 * share:.0f}% | {waiting} "
            f"| {result.memory_gib:.2f} GiB | {result.first_step_seconds:.1f} s |"
        )
    return "\n".join(lines)


def cost_table(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table of the engine's cost against batch size and resolution."""
    lines = [
        "| gan_core | batch | precision | ms a step | images/s | GFLOP/image | GFLOP/s | memory |",
        "| --- " * 8 + "|",
    ]
    for comparison in comparisons:
        for result in comparison.results:
            if result.title == "gan_core":
                median = result.median_seconds
                lines.append(
                    f"| {comparison.experiment} | {comparison.batch_size} | {result.precision} "
                    f"| {_milliseconds(median)} | {comparison.batch_size / median:,.0f} "
                    f"| {comparison.flops / comparison.batch_size / 1e9:.2f} "
                    f"| {comparison.flops / median / 1e9:.0f} | {result.memory_gib:.2f} GiB |"
                )
    return "\n".join(lines)


def chart(comparisons: Sequence[Comparison]) -> bytes:
    """A bar chart of the step times, one panel per comparison, as PNG bytes."""
    heights = [0.6 + 0.32 * len(comparison.results) for comparison in comparisons]
    figure = Figure(figsize=(9, sum(heights) + 0.5), layout="constrained")
    panels = figure.subplots(len(comparisons), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, comparison in zip(panels, comparisons, strict=True):
        names = [f"{result.title}, {result.precision}" for result in comparison.results]
        least, medians, most = (
            1e3
            * np.array(
                [
                    (min(result.step_seconds), result.median_seconds, max(result.step_seconds))
                    for result in comparison.results
                ]
            ).T
        )
        colours = ["tab:orange" if name.startswith("gan_core") else "tab:blue" for name in names]
        panel.barh(names, medians, xerr=[medians - least, most - medians], color=colours)
        panel.invert_yaxis()
        panel.set_title(comparison.title)
        panel.set_xlabel("ms a step, median; the line from least to most")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.1f}"
