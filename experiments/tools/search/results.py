"""Results of a search: the order of its candidates, a table, the best one's flagfile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from experiments.settings.flag import EACH_START, flag_of
from experiments.settings.settings import EFFECTIVE_FLAGS, Settings
from experiments.tools.search.plan import Candidate, Search, name_of
from experiments.tools.timed_runs import markdown_row
from gan_core.run import write_durably

_OF_EACH_RUN = {"seed", "data_dir", "cache_dir"} | {
    field.name for field in dataclasses.fields(Settings) if flag_of(field).changes == EACH_START
}
"""Flags that do not belong to the best settings."""


@dataclasses.dataclass
class Result:
    """The result of a candidate so far.

    Attributes:
      candidate: The candidate.
      round: Its last round, from 1 on.
      minutes: Minutes of training of each seed.
      distances: Best distance of each seed; infinite if it failed or was not judged.
      words: Reason of a failure; empty without one.
      protocol: Protocol of its evaluations; empty without any.
    """

    candidate: Candidate
    round: int
    minutes: float
    distances: list[float]
    words: str = ""
    protocol: str = ""

    @property
    def mean(self) -> float:
        """Mean of the distances."""
        return sum(self.distances) / len(self.distances)

    @property
    def has_failed(self) -> bool:
        """True if a seed failed or was not judged."""
        return math.isinf(self.mean)


def ranked(results: Iterable[Result]) -> list[Result]:
    """The best first: later rounds before earlier ones, failures last."""
    return sorted(results, key=lambda each: (each.has_failed, -each.round, each.mean))


def summary(result: Result) -> str:
    """One line for people."""
    found = result.words or f"distance {result.mean:.3g}"
    return f"candidate {result.candidate.number}, {result.minutes:g} minutes: {found}"


def write(search: Search, results: Sequence[Result]) -> None:
    """Writes the table, and a flagfile with all settings of the best candidate."""
    names = [name.removeprefix("--") for name, values in search.space.items() if len(values) > 1]
    heading = ["candidate", "round", "minutes", "distance", "each seed", *names]
    lines = [markdown_row(heading), markdown_row(["---"] * len(heading))]
    for result in results:
        values = dict(flag.removeprefix("--").split("=", 1) for flag in result.candidate.flags)
        figures = [result.candidate.number, result.round, f"{result.minutes:g}"]
        each = result.words or ", ".join(f"{distance:.3g}" for distance in result.distances)
        cells = [*figures, f"{result.mean:.3g}", each, *(values[name] for name in names)]
        lines.append(markdown_row(cells))
    write_durably(search.workdir / "search.md", ("\n".join(lines) + "\n").encode("utf-8"))
    best = results[0]
    if best.has_failed:
        return
    number, seeds = best.candidate.number, len(best.distances)
    about = f"# Candidate {number} of {search.workdir}: distance {best.mean:.3g}, seeds: {seeds}."
    effective = search.run_of(best.candidate, 0, best.minutes).workdir / EFFECTIVE_FLAGS
    # The flags as given: a run records what `auto` meant on this machine, and its minutes so far.
    own = [*best.candidate.flags, f"--total_minutes={best.minutes:g}"]
    without = _OF_EACH_RUN | set(map(name_of, own))
    others = effective.read_text(encoding="utf-8").splitlines()
    lines = [about, *(line for line in others if name_of(line) not in without), *own]
    write_durably(search.workdir / "best.flags", ("\n".join(lines) + "\n").encode("utf-8"))
