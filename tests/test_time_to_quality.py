"""What is trained for how long, what was found in time, and how it is shown."""

import json
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import pytest

from experiments import time_to_quality
from experiments.time_to_quality import __main__ as program
from experiments.time_to_quality.report import Curve, curves_png, markdown
from experiments.time_to_quality.rows import TABLES, Places
from experiments.timed_runs import Judged, TimedRun, judged_in

ROOT = Path(__file__).parent.parent
NAMES = ("frechet_distance", "kernel_distance", "coverage")


def judged(minutes, distance):
    values = dict.fromkeys(NAMES, distance) | {f"{name}_of_reals": 0.1 for name in NAMES}
    return Judged(minutes, 1, values, "classifier_5000_abc")


def test_the_minutes_of_an_evaluation_leave_evaluations_out(tmp_path):
    name = "evaluation/frechet_distance@classifier_30_abc"
    lines = [
        {"step": 5, "seconds": 10.0},
        {"step": 10, "seconds": 62.0, "evaluation/seconds": 2.0, "evaluation/step": 10, name: 3.0},
        {"step": 20, "seconds": 125.0, "evaluation/seconds": 3.0, "evaluation/step": 20, name: 2.0},
        {"step": 30, "seconds": 190.0, "evaluation/seconds": 5.0, "evaluation/step": 30, name: 1.0},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = judged_in(path)
    assert [each.minutes for each in found] == [1.0, 2.0, 3.0]
    assert found[0] == Judged(1.0, 10, {"frechet_distance": 3.0}, "classifier_30_abc")
    assert TimedRun("x", (), tmp_path, 2.0).best() == found[1]
    assert judged_in(tmp_path / "none.jsonl") == []
    assert TimedRun("x", (), tmp_path / "none", 2.0).minutes_done() == 0


def test_each_row_names_what_is_there():
    places = Places(Path("runs"), "data", "pictures")
    pictures = []
    for table in TABLES:
        for row in table.rows:
            if row.flagfile:
                assert (ROOT / "experiments/flagfiles" / row.flagfile).is_file()
            command = row.run(table, 1, places).command()
            assert "--seed=1" in command
            assert f"--dataset={table.dataset}" in command
            pictures.append(table.picture_of(row))
        assert any(row.name.endswith("_best") for row in table.rows)
    assert len(set(pictures)) == len(pictures)


def test_the_table_compares_with_the_worst_seed_of_the_first_row():
    table = TABLES[0]
    best, original, *_ = table.rows
    curves = [
        Curve(best, 0, [judged(1, 4.0), judged(2, 1.0), judged(3, 1.5)]),
        Curve(best, 1, [judged(1, 5.0), judged(2, 2.0)]),
        Curve(original, 0, [judged(1, 9.0), judged(2, 5.0)]),
        Curve(table.rows[2], 0, [], "error: no"),
    ]
    assert curves[0].minutes_to("frechet_distance", 4.5) == 1
    assert curves[1].minutes_to("frechet_distance", 1.0) == float("inf")
    lines = markdown(table, curves).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:2] == "| "]
    assert rows[2][:4] == ["`fashion_mnist_dcgan_no_dropout.flags`", "0", "2.0", "1"]
    assert rows[4][-1] == "2.5 times; passed after 1 minutes"
    assert rows[5][-1] == "error: no"
    assert rows[6][0] == "real images"
    assert imageio.imread(curves_png([(table, curves), (TABLES[1], [])])).shape[1] == 1300


def test_what_is_not_known_is_told(capsys):
    assert program.main(["--tables=cifar"]) == 2
    assert "`tables` (cifar)" in capsys.readouterr().err
    assert program.main(["--tables=dog_gan"]) == 2
    assert "`pictures` (empty) must name a folder" in capsys.readouterr().err
    assert time_to_quality.__doc__.splitlines()[0] == program.__doc__.splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["own networks", "tutorial's networks"])
def test_peers_learn_and_are_judged_as_runs_are(peer, tmp_path):
    command = [
        sys.executable, "-m", "experiments.time_to_quality.peers", f"--peer={peer}",
        "--minutes=0.4", f"--workdir={tmp_path}", "--dataset=drawn_digits", "--split=test",
        "--evaluation_samples=100", "--extractor=random_convolutions",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = judged_in(tmp_path / "metrics.jsonl")
    assert len(found) >= 2
    assert found[-1].distance < found[0].distance
    assert imageio.imread(tmp_path / "samples.png").shape[0] >= 8 * 28
