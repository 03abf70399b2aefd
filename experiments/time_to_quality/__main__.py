"""How good an experiment's samples are after so many minutes, beside what a user would write.

    python -m experiments.time_to_quality --tables=fashion_mnist,mnist --data_dir=DIR

trains each row of the tables with each of its seeds, one after the other and each in a process of
its own, for the table's minutes (evaluations left out), and writes what the judge said of them:
`time_to_quality.md`, `time_to_quality.png` and a grid of the best samples of each row. Stopped, the
same command goes on; what is done already is not trained again.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import gan_core
from experiments import exit_codes
from experiments.machine import describe_machine
from experiments.time_to_quality.report import Curve, curves_png, markdown
from experiments.time_to_quality.rows import TABLES, Places, Row, Table
from experiments.timed_runs import TimedRun
from gan_core import ArgumentError, check_known
from gan_core.run import duration, say, write_durably


def measure(tables: Sequence[Table], places: Places, output: Path) -> None:
    """Trains what is not trained yet, and writes tables, curves and grids after each run."""
    runs = [
        (table, row, seed, row.run(table, seed, places))
        for table in tables
        for row in table.rows
        for seed in range(row.seeds)
    ]
    left = sum(max(0.0, run.minutes - run.minutes_done()) for *_, run in runs)
    say(f"{len(runs)} runs, {duration(60 * left)} of training left, evaluations not counted")
    failures: dict[Path, str] = {}
    for table, row, seed, run in runs:
        to_do = max(0.0, run.minutes - run.minutes_done())
        failures[run.workdir] = run.train()
        left -= to_do
        best = run.best()
        said = failures[run.workdir] or (f"distance {best.distance:.3g}" if best else "not judged")
        say(f"{table.name}, {row.name}, seed {seed}: {said}; {duration(60 * left)} left")
        if seed == 0 and not failures[run.workdir]:
            _draw(row, run, output / f"{table.picture_of(row)}.png")
        _write(tables, places, failures, output)


def _draw(row: Row, run: TimedRun, path: Path) -> None:
    """The samples of the best checkpoint as a grid; a peer's are those of its end."""
    if path.exists() and path.stat().st_mtime > (run.workdir / "metrics.jsonl").stat().st_mtime:
        return
    gan_core.run.make_folder("output", path.parent)
    if row.peer:
        shutil.copyfile(run.workdir / "samples.png", path)
        return
    program = [sys.executable, "-m", f"experiments.{row.experiment}", "--mode=generate"]
    flags = [f"--workdir={run.workdir}", f"--output={path}"]
    subprocess.run([*program, *flags], check=False, stdout=subprocess.DEVNULL)


def _write(
    tables: Sequence[Table], places: Places, failures: dict[Path, str], output: Path
) -> None:
    results = []
    for table in tables:
        runs = [
            (row, seed, row.run(table, seed, places))
            for row in table.rows
            for seed in range(row.seeds)
        ]
        curves = [
            Curve(row, seed, run.judged(), failures.get(run.workdir, "not run yet"))
            for row, seed, run in runs
        ]
        results.append((table, curves))
    command = " ".join(["python -m experiments.time_to_quality", *sys.argv[1:]])
    heading = f"`{command}`\n\n{describe_machine()}; {datetime.date.today()}\n"
    parts = [heading, *(markdown(table, curves) for table, curves in results)]
    gan_core.run.make_folder("output", output)
    write_durably(output / "time_to_quality.md", ("\n\n".join(parts) + "\n").encode("utf-8"))
    write_durably(output / "time_to_quality.png", curves_png(results))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; returns the exit code."""
    names = [table.name for table in TABLES]
    parser = argparse.ArgumentParser(
        "python -m experiments.time_to_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tables", default=",".join(names), help="some of the default's")
    parser.add_argument("--data_dir", default="", help="the TensorFlow Datasets directory")
    parser.add_argument("--pictures", default="", help="a folder, for the experiments on folders")
    parser.add_argument("--workdir", type=Path, default=Path("runs/time_to_quality"))
    parser.add_argument("--output", type=Path, help="folder of tables and pictures; the workdir")
    options = parser.parse_args(arguments)
    places = Places(options.workdir, options.data_dir, options.pictures)
    try:
        chosen = options.tables.split(",")
        for name in chosen:
            check_known("tables", name, names)
        tables = [table for table in TABLES if table.name in chosen]
        if any(table.dataset == "folder" for table in tables) and not options.pictures:
            raise ArgumentError(
                "pictures", "empty", "must name a folder of pictures", "or leave its --tables out"
            )
        measure(tables, places, options.output or options.workdir)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_codes.USAGE
    except KeyboardInterrupt:
        say("stopped; run the same command to go on")
        return exit_codes.STOPPED
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main())
