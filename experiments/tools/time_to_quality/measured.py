"""Measurements of a run, kept in a file so that it is not trained again on any machine."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import gan_core
from experiments.tools.machine import describe_machine
from experiments.tools.timed_runs import Judged, TimedRun, within

_DIGITS = 5
_OF_REALS = "_of_reals"


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measurements of a run.

    Attributes:
      settings: Its flags, without those that name a place.
      minutes: Minutes of training.
      machine: Processor and versions.
      date: Date of its end, as YYYY-MM-DD.
      judged: Evaluations, oldest first.
      failure: Reason of an early end; empty without one.
    """

    settings: Sequence[str]
    minutes: float
    machine: str
    date: str
    judged: Sequence[Judged]
    failure: str = ""


def train(run: TimedRun) -> Measured:
    """Trains or resumes a run."""
    settings = run.settings  # now: its flagfile may be edited meanwhile
    failure = run.train()
    judged = run.judged()
    if not (judged or failure):
        failure = "not judged in its minutes"
    today = str(datetime.date.today())
    return Measured(settings, run.minutes, describe_machine(), today, judged, failure)


def keep(found: Measured, path: Path) -> None:
    """Writes the measurements.

    A failure does not take the place of what was measured before, with these settings or others.
    """
    gan_core.run.make_folder("output", path.parent)
    if found.failure and path.exists() and not json.loads(path.read_text("utf-8"))["failure"]:
        return
    gan_core.run.write_durably(path, _as_json(found).encode("utf-8"))


def read(run: TimedRun, path: Path) -> Measured | None:
    """The measurements of a run; None if there are none with these settings and minutes.

    Of the data only the name is compared; the protocol of the values tells whether they differ.
    """
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    of_reals = values.pop("of_reals")
    judged = [
        Judged(**each | {"values": each["values"] | of_reals}) for each in values.pop("judged")
    ]
    found = Measured(**values, judged=within(run.minutes, judged))
    is_same = list(found.settings) == run.settings and found.minutes >= run.minutes
    return found if is_same else None


def _as_json(found: Measured) -> str:
    """One line per evaluation; values of real images, equal in all, once."""
    values = dataclasses.asdict(found)
    judged = values.pop("judged")
    rounded = [
        {name: float(f"{value:.{_DIGITS}g}") for name, value in each.pop("values").items()}
        for each in judged
    ]
    values["of_reals"] = {
        name: value for each in rounded[:1] for name, value in each.items() if _OF_REALS in name
    }
    lines = []
    for each, numbers in zip(judged, rounded, strict=True):
        each["minutes"] = round(each["minutes"], _DIGITS)
        each["values"] = {name: v for name, v in numbers.items() if _OF_REALS not in name}
        lines.append(f"  {json.dumps(each)}")
    rest = ",\n".join(lines)
    return f'{json.dumps(values, indent=1)[:-2]},\n "judged": [\n{rest}\n ]\n}}\n'
