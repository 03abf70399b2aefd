"""Finds settings for your data by trying them: successive halving over settings and seeds.

    python -m experiments.search image_folder_gan --dataset=PATH_OF_YOUR_FOLDER

A file (--space) has a line a flag, its values separated by `|`; a line with one value is for all:

    --networks=leaky
    --loss=non_saturating | hinge | relativistic
    --generator_learning_rate=2e-4 | 4e-4 | 8e-4

The first candidate takes the first value of each line, the others are drawn at random. All are
trained for --minutes; one in --keep_one_in, the better ones, goes on for so many times as long, and
so on, --rounds times; the last are trained with --seeds seeds (Jamieson & Talwalkar 2016). What
counts is the smallest Fréchet distance to the data within the time, its mean over the seeds. Flags
that this program does not know go to the runs, over what an experiment starts with where no
flagfile is named. Stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import random
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import gan_core
from experiments import standard_streams
from experiments.exit_codes import exit_code_of
from experiments.experiment import load_experiment
from experiments.flag import EACH_START, flag_of
from experiments.flags import EFFECTIVE_FLAGS
from experiments.quiet_startup import import_tensorflow_quietly
from experiments.runner import settings_of
from experiments.settings import Settings
from experiments.timed_runs import WITHOUT_END, TimedRun, markdown_row, path_argument
from gan_core import ArgumentError, check_positive
from gan_core.run import duration, say, write_durably

_OF_RUNS = (
    WITHOUT_END,
    "--log_every_steps=50",
    "--evaluate_every_steps=50",
    "--evaluation_time_share=0.2",
    "--sample_every_steps=500",
    "--checkpoint_every_steps=1000",
    "--keep_checkpoints=1",
)
"""What a flag of the space or of the command line may change."""

_SPACE = Path(__file__).parent / "flagfiles" / "folder.space"
_MOST_CANDIDATES = 10_000
_RECORD = "search.json"
"""What is searched."""
_OF_EACH_RUN = {"seed", "data_dir", "cache_dir"} | {
    field.name for field in dataclasses.fields(Settings) if flag_of(field).changes == EACH_START
}
"""Flags that do not belong to the best settings."""
_OF_THE_SEARCH = {"workdir", "total_minutes", "seed"}
"""Flags that it gives to its runs itself."""

Space = dict[str, list[str]]
"""Values by flag, in the order of the file."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Settings that are tried.

    Attributes:
      number: From 0 on.
      flags: Those of the space, `--name=value`.
    """

    number: int
    flags: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched, and how long.

    Attributes:
      experiment: Name of the module.
      space: Values by flag.
      flags: Of all runs.
      workdir: Folder of the search.
      candidates: How many settings are tried.
      minutes: Of training of each in the first round.
      keep_one_in: Every so many-th goes on, for so many times as long.
      rounds: How many.
      seeds: With how many the last ones are trained.
      seed: Of what is drawn.

    Raises:
      ArgumentError: If a number cannot be meant.
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
        given = {_name_of(flag) for flag in self.flags}
        for argument, names in (("space", set(map(_name_of, self.space))), ("flags", given)):
            for name in sorted(names & _OF_THE_SEARCH):
                rule = "is chosen by the search"
                raise ArgumentError(argument, f"--{name}", rule, "leave it out")
        given |= {name.removeprefix("no") for name in given}
        for name in sorted(given & set(map(_name_of, self.space))):
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
        """Of each round how many candidates, for how many minutes, with how many seeds."""
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
        """Of training in the whole search, if nothing fails."""
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


@dataclasses.dataclass
class Result:
    """How a candidate has done so far.

    Attributes:
      candidate: Which.
      round: The last that it was in, from 1 on.
      minutes: Of training of each seed.
      distances: The best of each seed; infinite where it failed or was not judged.
      words: Why it failed; empty where it did not.
      protocol: How its samples were judged; empty where they were not.
    """

    candidate: Candidate
    round: int
    minutes: float
    distances: list[float]
    words: str = ""
    protocol: str = ""

    @property
    def mean(self) -> float:
        """Of the distances."""
        return sum(self.distances) / len(self.distances)

    @property
    def has_failed(self) -> bool:
        """Whether a seed failed or was not judged."""
        return math.isinf(self.mean)


def run(search: Search) -> list[Result]:
    """Searches; the results, the best first: later rounds before earlier ones, failures last.

    Raises:
      ArgumentError: If all candidates have failed, or were judged in several ways.
    """
    results: dict[int, Result] = {}
    left, minutes_left = search.draw(), search.total_minutes()
    is_news = not (search.workdir / "search.md").exists()
    say(f"{len(left)} candidates, {duration(60 * minutes_left)} of training in all")
    before = 0.0
    for number, (count, minutes, seeds) in enumerate(search.plan(), 1):
        left = left[:count]
        for candidate in left:
            runs = [search.run_of(candidate, seed, minutes) for seed in range(seeds)]
            was_done = all(each.minutes_done() >= minutes for each in runs)
            results[candidate.number] = _train(candidate, number, minutes, runs)
            minutes_left -= minutes - before + (seeds - 1) * minutes
            _check_comparable(results.values())
            # What an earlier start wrote holds later rounds, until this one has come as far.
            is_news = is_news or not (was_done or results[candidate.number].has_failed)
            if is_news:
                _write(search, _ranked(results))
            say(f"{_line(results[candidate.number])}; {duration(60 * minutes_left)} left")
        before = minutes
        if all(each.has_failed for each in results.values()):
            time = duration(60 * minutes)
            rule = f"must train for {time} with some of the settings, but all failed"
            raise ArgumentError("experiment", search.experiment, rule, f"see: {results[0].words}")
        left = [
            each.candidate
            for each in _ranked(results)
            if each.round == number and not each.has_failed
        ]
    _write(search, _ranked(results))
    return _ranked(results)


def _train(candidate: Candidate, number: int, minutes: float, runs: Sequence[TimedRun]) -> Result:
    """Of a candidate, a run a seed."""
    result = Result(candidate, number, minutes, [])
    for run in runs:
        result.words = result.words or run.train()
        best = None if result.words else run.best()
        if not (result.words or best):
            result.words = "not judged in its minutes: give more --minutes, or a smaller "
            result.words += "--evaluate_every_steps and --log_every_steps"
        result.distances.append(best.distance if best else math.inf)
        result.protocol = best.protocol if best else result.protocol
    return result


def _check_comparable(results: Iterable[Result]) -> None:
    protocols = sorted({each.protocol for each in results if each.protocol})
    if len(protocols) > 1:
        raise ArgumentError(
            "space",
            ", ".join(protocols),
            "must leave alone how samples are judged, or the distances cannot be compared",
            "leave out flags of the data, the image size and the evaluation",
        )


def _ranked(results: dict[int, Result]) -> list[Result]:
    return sorted(results.values(), key=lambda each: (each.has_failed, -each.round, each.mean))


def _line(result: Result) -> str:
    found = result.words or f"distance {result.mean:.3g}"
    return f"candidate {result.candidate.number}, {result.minutes:g} minutes: {found}"


def _write(search: Search, ranked: Sequence[Result]) -> None:
    """The table, and as a flagfile all settings that the best one was trained with."""
    names = [name.removeprefix("--") for name, values in search.space.items() if len(values) > 1]
    heading = ["candidate", "round", "minutes", "distance", "each seed", *names]
    lines = [markdown_row(heading), markdown_row(["---"] * len(heading))]
    for result in ranked:
        values = dict(flag.removeprefix("--").split("=", 1) for flag in result.candidate.flags)
        figures = [result.candidate.number, result.round, f"{result.minutes:g}"]
        each = result.words or ", ".join(f"{distance:.3g}" for distance in result.distances)
        cells = [*figures, f"{result.mean:.3g}", each, *(values[name] for name in names)]
        lines.append(markdown_row(cells))
    write_durably(search.workdir / "search.md", ("\n".join(lines) + "\n").encode("utf-8"))
    best = ranked[0]
    if best.has_failed:
        return
    number, seeds = best.candidate.number, len(best.distances)
    about = f"# Candidate {number} of {search.workdir}: distance {best.mean:.3g}, seeds: {seeds}."
    effective = search.run_of(best.candidate, 0, best.minutes).workdir / EFFECTIVE_FLAGS
    # As they were given: a run writes down what came of an `auto`, on this machine, and its minutes
    # so far.
    own = [*best.candidate.flags, f"--total_minutes={best.minutes:g}"]
    without = _OF_EACH_RUN | set(map(_name_of, own))
    others = effective.read_text(encoding="utf-8").splitlines()
    lines = [about, *(line for line in others if _name_of(line) not in without), *own]
    write_durably(search.workdir / "best.flags", ("\n".join(lines) + "\n").encode("utf-8"))


def _check_rates_fall(search: Search) -> None:
    """Refuses rates that are to fall until a step that no run will come to.

    Its runs end by their minutes, and a decay whose end is not named ends at their last step.
    """
    experiment = load_experiment(search.experiment)
    for candidate in search.draw():
        flags = search.run_of(candidate, 0, search.minutes).command()[3:]
        try:
            settings = settings_of(experiment, flags)
        except ArgumentError:
            continue  # its run says so
        if settings and f"--total_steps={settings.learning_rate_decay_steps}" == WITHOUT_END:
            schedule = settings.learning_rate_schedule
            rule = "needs learning_rate_decay_steps where runs end by their minutes"
            remedy = "name the step at which rates shall have fallen"
            raise ArgumentError("learning_rate_schedule", schedule, rule, remedy)


def _name_of(flag: str) -> str:
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


def _check_same_search(search: Search) -> None:
    """Refuses a folder that holds another search."""
    path = search.workdir / _RECORD
    free = {"workdir", "rounds", "seeds"}
    now = {name: value for name, value in dataclasses.asdict(search).items() if name not in free}
    text = json.dumps(now, indent=2) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ArgumentError(
            "workdir", search.workdir, "holds another search", "choose another folder"
        )
    gan_core.run.make_folder("workdir", search.workdir)
    write_durably(path, text.encode("utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m experiments.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("experiment", help="whose networks, image_folder_gan, say")
    parser.add_argument(
        "--space", type=path_argument, default=_SPACE, help="file of flags and their values"
    )
    parser.add_argument(
        "--workdir", type=path_argument, help="folder of the search; runs/search_<experiment>"
    )
    parser.add_argument("--candidates", type=int, default=9)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each in the first round")
    parser.add_argument("--keep_one_in", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2, help="of those in the last round")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    options, flags = parser.parse_known_args(arguments)
    standard_streams.make_safe()
    import_tensorflow_quietly()
    workdir = options.workdir or Path("runs") / f"search_{options.experiment}"

    def work() -> None:
        values = vars(options) | {"space": read_space(options.space), "workdir": workdir}
        search = Search(flags=tuple(flags), **values)
        if not (workdir / _RECORD).exists():
            _check_rates_fall(search)
        _check_same_search(search)
        with gan_core.run.RunLock(workdir):
            best = run(search)[0]
        say(f"the best is {_line(best)}: {workdir}/best.flags; all are in {workdir}/search.md")

    return exit_code_of(work, goes_on=True)


if __name__ == "__main__":
    sys.exit(main())
