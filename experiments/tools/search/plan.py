"""The candidates of a search, and the minutes of its rounds."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import re
from pathlib import Path

from experiments.tools.timed_runs import WITHOUT_END, TimedRun
from gan_core import ArgumentError, check_positive

_OF_RUNS = (
    WITHOUT_END,
    "--log_every_steps=50",
    "--evaluate_every_steps=50",
    "--evaluation_time_share=0.2",
    "--sample_every_steps=500",
    "--checkpoint_every_steps=1000",
    "--keep_checkpoints=1",
)
"""Flags of each run, which the space and the command line may override."""

_MOST_CANDIDATES = 10_000
_OF_THE_SEARCH = {"workdir", "total_minutes", "seed"}
"""Flags that the search itself gives to its runs."""

Space = dict[str, list[str]]
"""Values by flag, in the order of the file."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Settings to try.

    Attributes:
      number: From 0 on.
      flags: Flags of the space, `--name=value`.
    """

    number: int
    flags: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Search:
    """A search: candidates, rounds and minutes.

    Attributes:
      experiment: Name of the module.
      space: Values by flag.
      flags: Flags of all runs.
      workdir: Folder of the search.
      candidates: Number of settings to try.
      minutes: Minutes of training of each in the first round.
      keep_one_in: One in so many continues, for that many times as long.
      rounds: Number of rounds.
      seeds: Number of seeds in the last round.
      seed: Seed of the random choice.

    Raises:
      ArgumentError: If a number is out of its range.
    """

    experiment: str
    space: Space
    flags: tuple[str, ...]
    workdir: Path
    candidates: int
    minutes: float
    keep_one_in: int
    rounds: int
    seeds: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("candidates", "minutes", "rounds", "seeds"):
            check_positive(name, getattr(self, name))
        if self.keep_one_in < 2:
            raise ArgumentError("keep_one_in", self.keep_one_in, "must be 2 or more", "use 3")
        given = {name_of(flag) for flag in self.flags}
        for argument, names in (("space", set(map(name_of, self.space))), ("flags", given)):
            for name in sorted(names & _OF_THE_SEARCH):
                rule = "is chosen by the search"
                raise ArgumentError(argument, f"--{name}", rule, "leave it out")
        given |= {name.removeprefix("no") for name in given}
        for name in sorted(given & set(map(name_of, self.space))):
            rule = "must not name what the command line gives"
            raise ArgumentError("space", f"--{name}", rule, "leave one of them out")

    def draw(self) -> list[Candidate]:
        """The candidates: the first values, then others, all different."""
        names, values = list(self.space), list(self.space.values())
        most = math.prod(len(each) for each in values)
        if most <= _MOST_CANDIDATES:
            others = list(itertools.product(*values))[1:]
            random.Random(self.seed).shuffle(others)
        else:
            choose = random.Random(self.seed)
            drawn = (tuple(map(choose.choice, values)) for _ in range(_MOST_CANDIDATES))
            others = list(dict.fromkeys(drawn))
        first = tuple(each[0] for each in values)
        chosen = list(dict.fromkeys([first, *others]))[: self.candidates]
        return [
            Candidate(number, tuple(map("=".join, zip(names, each, strict=True))))
            for number, each in enumerate(chosen)
        ]

    def plan(self) -> list[tuple[int, float, int]]:
        """Number of candidates, minutes and number of seeds of each round."""
        count = len(self.draw())
        found = []
        for number in range(self.rounds):
            is_last = number == self.rounds - 1 or count == 1
            minutes = self.minutes * self.keep_one_in**number
            found.append((count, minutes, self.seeds if is_last else 1))
            if is_last:
                break
            count = math.ceil(count / self.keep_one_in)
        return found

    def total_minutes(self) -> float:
        """Minutes of training in the whole search, if nothing fails."""
        total, before = 0.0, 0.0
        for count, minutes, seeds in self.plan():
            total += count * (minutes - before + (seeds - 1) * minutes)
            before = minutes
        return total

    def run_of(self, candidate: Candidate, seed: int, minutes: float) -> TimedRun:
        """One of its runs."""
        flags = (*_OF_RUNS, *self.flags, *candidate.flags, f"--seed={seed}")
        folder = self.workdir / f"candidate_{candidate.number:03d}" / f"seed_{seed}"
        return TimedRun(self.experiment, flags, folder, minutes)


def name_of(flag: str) -> str:
    """The name in `--name=value`."""
    return flag.removeprefix("--").split("=")[0]


def read_space(path: Path) -> Space:
    """The values of each flag in a file.

    Raises:
      ArgumentError: If it cannot be read, or a line is no flag with values.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ArgumentError("space", path, f"cannot be read ({error})", "name a file") from error
    space: Space = {}
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"\s*(--\w+)=(.*)", line)
        if not match:
            raise ArgumentError(
                "space", line, "must be a flag and its values", "write --name=value | value"
            )
        space[match[1]] = list(dict.fromkeys(value.strip() for value in match[2].split("|")))
    if not space:
        raise ArgumentError(
            "space", path, "must name a flag at least", "write --name=value | value"
        )
    return space
