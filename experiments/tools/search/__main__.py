"""Finds settings for your data by trying them: successive halving over settings and seeds.

    python -m experiments.tools.search image_folder_gan --dataset=PATH_TO_YOUR_FOLDER

A file (--space) has a line per flag, with its values separated by `|`; a single value is for all:

    --networks=leaky
    --loss=non_saturating | hinge | relativistic
    --generator_learning_rate=2e-4 | 4e-4 | 8e-4

The first candidate takes the first value of each line, the others take random ones. All are trained
for --minutes. The best one in --keep_one_in continues for that many times as long, and so on,
--rounds times; the last ones are trained with --seeds seeds (Jamieson & Talwalkar 2016). The
criterion is the smallest Fréchet distance to the data within the time, averaged over the seeds.
Unknown flags are passed to the runs, and override an experiment's best flagfile. After a stop, the
same command resumes.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import gan_core
from experiments.program.experiment import load_experiment
from experiments.program.main import settings_of
from experiments.program.process import Command
from experiments.settings.flag import REQUIRED, Options, flag
from experiments.tools.search import halving
from experiments.tools.search.plan import Search, read_space
from experiments.tools.search.results import summary
from experiments.tools.timed_runs import NO_END
from gan_core import ArgumentError
from gan_core.run import say, write_durably

_SPACE = Path(__file__).parents[2] / "flagfiles" / "folder.space"
_RECORD = "search.json"
"""The record of the search in its folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """Flags of the search."""

    experiment: str = flag(REQUIRED, takes="word")
    """Experiment whose networks are trained, for example image_folder_gan."""
    space: str = flag(str(_SPACE), is_path=True)
    """File of flags and their values."""
    workdir: str = flag("", is_path=True)
    """Folder of the search; runs/search_<experiment> if empty."""
    candidates: int = flag(9)
    """Number of settings to try."""
    minutes: float = flag(1.0)
    """Minutes of training of each in the first round."""
    keep_one_in: int = flag(3)
    """Each round keeps the best one in so many."""
    rounds: int = flag(3)
    """Number of rounds."""
    seeds: int = flag(2)
    """Seeds of each in the last round."""
    seed: int = flag(0)
    """Seed of the random choice."""
    flags: tuple[str, ...] = flag((), takes="rest")
    """Other flags, passed to all runs."""


def _check_rates_fall(search: Search) -> None:
    """Refuses learning rates that would fall until a step that no run reaches.

    Runs end by their minutes, and a decay without an explicit end ends at their last step.
    """
    experiment = load_experiment(search.experiment)
    for candidate in search.draw():
        flags = search.run_of(candidate, 0, search.minutes).command()[3:]
        try:
            settings = settings_of(experiment, flags)
        except ArgumentError:
            continue  # its run reports the error
        if settings and settings.learning_rate_decay_steps == NO_END:
            schedule = settings.learning_rate_schedule
            rule = "needs learning_rate_decay_steps where runs end by their minutes"
            remedy = "give the step at which the rates have fallen"
            raise ArgumentError("learning_rate_schedule", schedule, rule, remedy)


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


def _search(options: SearchOptions) -> None:
    workdir = Path(options.workdir or f"runs/search_{options.experiment}")
    values = dataclasses.asdict(options) | {"workdir": workdir}
    search = Search(**values | {"space": read_space(Path(options.space))})
    if not (workdir / _RECORD).exists():
        _check_rates_fall(search)
    _check_same_search(search)
    with gan_core.run.RunLock(workdir):
        best = halving.run(search)[0]
    say(f"the best is {summary(best)}: {workdir}/best.flags; all are in {workdir}/search.md")


COMMAND = Command(SearchOptions, _search, __doc__, resumable=True)

if __name__ == "__main__":
    COMMAND.main()
