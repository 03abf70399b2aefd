"""Successive halving: all candidates for a short time, the better ones for longer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from experiments.tools.search.plan import Candidate, Search
from experiments.tools.search.results import Result, ranked, summary, write
from experiments.tools.timed_runs import TimedRun
from gan_core import ArgumentError
from gan_core.run import duration, say


def run(search: Search) -> list[Result]:
    """Searches; returns results, the best first: later rounds before earlier, failures last.

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
            # Files of an earlier start hold later rounds, until this one gets there.
            is_news = is_news or not (was_done or results[candidate.number].has_failed)
            if is_news:
                write(search, ranked(results.values()))
            say(f"{summary(results[candidate.number])}; {duration(60 * minutes_left)} left")
        before = minutes
        if all(each.has_failed for each in results.values()):
            time = duration(60 * minutes)
            rule = f"must train for {time} with some of the settings, but all failed"
            raise ArgumentError("experiment", search.experiment, rule, f"see: {results[0].words}")
        left = [
            each.candidate
            for each in ranked(results.values())
            if each.round == number and not each.has_failed
        ]
    write(search, ranked(results.values()))
    return ranked(results.values())


def _train(candidate: Candidate, number: int, minutes: float, runs: Sequence[TimedRun]) -> Result:
    """The runs of a candidate, one per seed."""
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
