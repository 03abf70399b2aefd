"""Finds settings for your data by trying them: successive halving over settings and seeds.

    python -m experiments.tools.search image_folder_gan --dataset=PATH_OF_YOUR_FOLDER

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
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import gan_core
from experiments.program.experiment import load_experiment
from experiments.program.main import settings_of
from experiments.program.process import import_tensorflow, make_streams_safe, run_program
from experiments.tools.search import halving
from experiments.tools.search.plan import Search, read_space
from experiments.tools.search.results import summary
from experiments.tools.timed_runs import NO_END, path_argument
from gan_core import ArgumentError
from gan_core.run import say, write_durably

_SPACE = Path(__file__).parents[2] / "flagfiles" / "folder.space"
_RECORD = "search.json"
"""What is searched."""


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
        if settings and settings.learning_rate_decay_steps == NO_END:
            schedule = settings.learning_rate_schedule
            rule = "needs learning_rate_decay_steps where runs end by their minutes"
            remedy = "name the step at which rates shall have fallen"
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m experiments.tools.search",
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
    make_streams_safe()
    import_tensorflow()
    workdir = options.workdir or Path("runs") / f"search_{options.experiment}"

    def work() -> None:
        values = vars(options) | {"space": read_space(options.space), "workdir": workdir}
        search = Search(flags=tuple(flags), **values)
        if not (workdir / _RECORD).exists():
            _check_rates_fall(search)
        _check_same_search(search)
        with gan_core.run.RunLock(workdir):
            best = halving.run(search)[0]
        say(f"the best is {summary(best)}: {workdir}/best.flags; all are in {workdir}/search.md")

    return run_program(work, resumable=True)


if __name__ == "__main__":
    sys.exit(main())
