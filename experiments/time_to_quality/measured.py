"""What a run was judged to be, kept in a file: it is not trained again, here or elsewhere."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import gan_core
from experiments.machine import describe_machine
from experiments.time_to_quality.rows import PeerRun
from experiments.timed_runs import Judged, TimedRun

_DIGITS = 5
_OF_REALS = "_of_reals"
_OF_A_PLACE = ("--data_dir=", "--workdir=", "--flagfile=", "--total_minutes=", "--minutes=")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a run was judged to be, and where.

    Attributes:
      settings: What it was trained with: flags, without those that name a place.
      minutes: Of training.
      machine: Processor and versions.
      date: Of the end, as YYYY-MM-DD.
      judged: Oldest first.
      failure: Why it ended early; empty where it did not.
    """

    settings: Sequence[str]
    minutes: float
    machine: str
    date: str
    judged: Sequence[Judged]
    failure: str = ""


def train_and_keep(run: TimedRun, path: Path) -> Measured:
    """Trains a run, goes on with it, or reads what is known of it already.

    What was measured with other settings, or for fewer minutes, is measured anew.
    """
    known = read(run, path)
    if known and not known.failure:
        return known
    failure = run.train()
    today = str(datetime.date.today())
    found = Measured(
        settings_of(run), run.minutes, describe_machine(), today, run.judged(), failure
    )
    gan_core.run.make_folder("output", path.parent)
    gan_core.run.write_durably(path, _as_json(found).encode("utf-8"))
    return found


def read(run: TimedRun, path: Path) -> Measured | None:
    """What is known of a run; None if it is not measured yet with these settings so long."""
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    of_reals = values.pop("of_reals")
    judged = [
        Judged(**each | {"values": each["values"] | of_reals})
        for each in values.pop("judged")
        if each["minutes"] <= run.minutes
    ]
    found = Measured(**values, judged=judged)
    is_same = list(found.settings) == settings_of(run) and found.minutes >= run.minutes
    return found if is_same else None


def settings_of(run: TimedRun) -> list[str]:
    """All flags of a run, those of its flagfile too, without those that name a place."""
    flags = [run.experiment]
    if isinstance(run, PeerRun):
        flags += [run.peer, f"--seed={run.seed}"]
    for flag in run.flags:
        if flag.startswith("--flagfile="):
            lines = Path(flag.removeprefix("--flagfile=")).read_text(encoding="utf-8").splitlines()
            flags += [line for line in lines if line.startswith("--")]
        elif not flag.startswith(_OF_A_PLACE):
            flags.append(flag)
    return flags


def _as_json(found: Measured) -> str:
    """A line an evaluation; what real images get, which is the same in all, once."""
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
