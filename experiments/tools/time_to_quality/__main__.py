"""Measures how good samples are after so many minutes, next to what a user would write instead.

    python -m experiments.tools.time_to_quality --tables=fashion_mnist,mnist --data_dir=DIR

Each row of the tables is trained with each of its seeds, one after the other and each in its own
process, for the table's minutes (evaluations excluded). Their results are written to
`time_to_quality.md` and `time_to_quality.png`, with a grid of the best samples of each row. After a
stop, the same command resumes. Measurements are kept in `measured/` and are not repeated, on
another machine either, until the settings change. Descriptions of the grids are read from lines
`name: words` of `seen.txt`.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import string
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import imageio.v3 as imageio
from etils import epy

import gan_core
from experiments.program.process import DONE, FAILED, Command
from experiments.settings.flag import Options, flag
from experiments.tools.time_to_quality.measured import Measured, keep, read, train
from experiments.tools.time_to_quality.rows import TABLES, Places, Row, Table
from experiments.tools.timed_runs import TimedRun, last_line
from gan_core import ArgumentError, check_known, check_positive
from gan_core.run import duration, say, write_durably

with epy.lazy_imports():  # of what needs TensorFlow
    from experiments.tools.time_to_quality import report

_SEEN = "seen.txt"
_WIDEST = 1024
"""Pixels across a picture of samples; larger ones are halved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeToQualityOptions(Options):
    """Flags of the measurement."""

    tables: tuple[str, ...] = flag(tuple(table.name for table in TABLES))
    """Tables to measure."""
    data_dir: str = flag("", is_path=True)
    """The TensorFlow Datasets directory."""
    pictures: str = flag("", is_path=True)
    """Folder of pictures for the experiments on folders."""
    times: float = flag(1.0)
    """Factor of the minutes: 2 shows what comes after."""
    workdir: str = flag("runs/time_to_quality", is_path=True)
    """Folder of the runs."""
    output: str = flag("", is_path=True)
    """Folder of tables and pictures; --workdir if empty."""


def measure(tables: Sequence[Table], places: Places, output: Path) -> int:
    """Trains what is not trained yet, and writes tables, curves and grids after each run.

    Returns:
      How many runs failed.
    """
    num_failed = 0
    runs = [
        (table, row, seed, row.run(table, seed, places))
        for table in tables
        for row in table.rows
        for seed in range(row.seeds)
    ]
    left = {number: _minutes_left(output, *run) for number, run in enumerate(runs)}
    say(f"{len(runs)} runs, {duration(60 * sum(left.values()))} of training left, and judging")
    for number, (table, row, seed, run) in enumerate(runs):
        path = _path(output, table, row, seed)
        found = read(run, path)
        if not found or found.failure:
            found = train(run)
            # The picture first: with what is kept nothing is drawn again.
            if seed == 0 and not found.failure:
                picture = output / f"{table.picture_of(row)}.png"
                found = dataclasses.replace(found, failure=_draw(row, run, picture))
            keep(found, path)
        del left[number]
        num_failed += bool(found.failure)
        best = min((each.values[table.measure] for each in found.judged), default=math.inf)
        words = found.failure or f"distance {best:.3g}"
        in_time = f"{duration(60 * sum(left.values()))} left"
        say(f"{table.name}, {row.name}, seed {seed}: {words}; {in_time}")
        _write(tables, places, output)
    return num_failed


def _minutes_left(output: Path, table: Table, row: Row, seed: int, run: TimedRun) -> float:
    known = read(run, _path(output, table, row, seed))
    return 0.0 if known and not known.failure else max(1e-3, run.minutes - run.minutes_done())


def _path(output: Path, table: Table, row: Row, seed: int) -> Path:
    return output / "measured" / table.name / f"{row.name}_seed_{seed}.json"


def _draw(row: Row, run: TimedRun, path: Path) -> str:
    """Writes a grid of samples; returns why it could not, empty where it could.

    They are of the checkpoint with the smallest Fréchet distance; a peer's of its end.
    """
    if row.peer:
        shutil.copyfile(run.workdir / "samples.png", path)
        return ""
    program = [sys.executable, "-m", f"experiments.{row.experiment}", "--mode=generate"]
    flags = [f"--workdir={run.workdir}", f"--output={path}"]
    done = subprocess.run([*program, *flags], capture_output=True, text=True)
    if done.returncode:
        return f"no grid: {last_line(done.stderr, done.returncode)}"
    image = imageio.imread(path)
    if image.shape[1] > _WIDEST:
        while image.shape[1] > _WIDEST:
            image = report.halved(image)
        write_durably(path, imageio.imwrite("<bytes>", image, extension=".png"))
    return ""


def _write(tables: Sequence[Table], places: Places, output: Path) -> None:
    known = {
        (table, row, seed): read(row.run(table, seed, places), _path(output, table, row, seed))
        for table in tables
        for row in table.rows
        for seed in range(row.seeds)
    }
    machines = sorted({found.machine for found in known.values() if found})
    letters = dict(zip(machines, string.ascii_lowercase, strict=False))
    results = []
    for table in tables:
        of_table = [(*run, found) for (of, *run), found in known.items() if of == table]
        results.append((table, [_curve(*each, letters) for each in of_table]))
    command = " ".join(["python -m experiments.tools.time_to_quality", *sys.argv[1:]])
    of_machines = [f"{letters[each]}: {each}" for each in machines]
    heading = "\n\n".join([f"`{command}`", report.LEGEND, *of_machines])
    seen = _read_seen(output / _SEEN)
    parts = [heading, *(report.markdown(table, curves, seen) for table, curves in results)]
    write_durably(output / "time_to_quality.md", ("\n\n".join(parts) + "\n").encode("utf-8"))
    write_durably(output / "time_to_quality.png", report.curves_png(results))


def _curve(row: Row, seed: int, found: Measured | None, letters: Mapping[str, str]) -> report.Curve:
    if found is None:
        return report.Curve(row, seed, [], "not measured yet")
    return report.Curve(
        row, seed, found.judged, found.failure, date=found.date, machine=letters[found.machine]
    )


def _read_seen(path: Path) -> dict[str, str]:
    """Descriptions of the pictures by name, from lines of `name: words`."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: words.strip() for name, _, words in (line.partition(":") for line in lines)}


def _chosen(names: Sequence[str], times: float) -> list[Table]:
    for name in names:
        check_known("tables", name, [table.name for table in TABLES])
    return [
        dataclasses.replace(table, minutes=times * table.minutes)
        for table in TABLES
        if table.name in names
    ]


def _measure(options: TimeToQualityOptions) -> int:
    check_positive("times", options.times)
    tables = _chosen(options.tables, options.times)
    if any(table.dataset == "folder" for table in tables) and not options.pictures:
        rule = "must name a folder of pictures"
        raise ArgumentError("pictures", "empty", rule, "or leave its --tables out")
    workdir = Path(options.workdir)
    gan_core.run.make_folder("workdir", workdir)
    with gan_core.run.RunLock(workdir):
        places = Places(workdir, options.data_dir, options.pictures)
        num_failed = measure(tables, places, Path(options.output or workdir))
    if num_failed:
        say(f"{num_failed} runs failed; the same command tries them again")
    return FAILED if num_failed else DONE


COMMAND = Command(TimeToQualityOptions, _measure, __doc__, resumable=True)

if __name__ == "__main__":
    COMMAND.main()
