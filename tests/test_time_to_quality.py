"""What is trained for how long, what was found in time, and how it is shown."""

import contextlib
import dataclasses
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tensorflow as tf

from experiments.program.launcher import STOP_SIGNALS
from experiments.tools import time_to_quality, timed_runs
from experiments.tools.time_to_quality import __main__ as program
from experiments.tools.time_to_quality import peers
from experiments.tools.time_to_quality.measured import Measured, keep, read, train
from experiments.tools.time_to_quality.report import Curve, curves_png, halved, markdown
from experiments.tools.time_to_quality.rows import TABLES, Places, Row, Table
from experiments.tools.timed_runs import Judged, TimedRun, judged_in, within
from gan_core import ArgumentError

ROOT = Path(__file__).parent.parent
NAMES = ("frechet_distance", "kernel_distance", "coverage")


def judged(minutes, distance, coverage=0.5):
    values = dict.fromkeys(NAMES, distance) | {f"{name}_of_reals": 0.1 for name in NAMES}
    return Judged(minutes, 1, values | {"coverage": coverage}, "classifier_5000_abc")


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
    # As a sum of seconds comes out.
    last, later = judged(480.00000000000006 / 60, 1.0), judged(8.001, 1.0)
    assert last.minutes > 8.0
    assert within(8.0, [last, later]) == [last]
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
    best, original, *peers = TABLES[0].rows
    original = dataclasses.replace(original, flags=("--beta_1=0",))
    table = dataclasses.replace(TABLES[0], rows=(best, original, *peers))
    curves = [
        Curve(best, 0, [judged(1, 4.0), judged(2, 1.0), judged(3, 1.5)], "", "2026-11-26", "b"),
        Curve(best, 1, [judged(1, 5.0), judged(2, 2.0)], "", "2026-11-27", "b"),
        Curve(original, 0, [judged(1, 9.0), judged(2, 5.0)], "", "2026-11-26", "b"),
        Curve(table.rows[2], 0, [], "error: no"),
    ]
    assert curves[0].minutes_to("frechet_distance", 4.5) == 1
    assert curves[1].minutes_to("frechet_distance", 1.0) == float("inf")
    assert curves[0].minutes_to_collapse() == float("inf")
    bad = [judged(3, 3.1), judged(4, 3.1), judged(5, 2.9), *(judged(m, 3.1) for m in (6, 7, 8))]
    gone = Curve(best, 0, [judged(1, 9.0), judged(2, 1.0), *bad, judged(9, 1.0)])
    assert gone.minutes_to_collapse() == 8
    narrow = Curve(best, 0, [judged(1, 1.0), *(judged(m, 1.0, 0.1) for m in (2, 3, 4))])
    assert narrow.minutes_to_collapse() == 4
    seen = {"fashion_mnist_dcgan_no_dropout": "coats"}
    lines = markdown(table, curves, seen).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:2] == "| "]
    assert rows[2][0] == "`fashion_mnist_dcgan_no_dropout.flags`"
    assert rows[2][1:4] == ["2026-11-26, b; 2026-11-27, b", "2.0, 2.0", "1, 2"]
    assert len({len(row) for row in rows}) == 1
    assert rows[2][-1] == "[grid](fashion_mnist_dcgan_no_dropout.png): coats"
    assert rows[3][0] == "`fashion_mnist_dcgan_best.flags --beta_1=0`"
    assert rows[3][-2] == "2.5 times the first row's worst seed, which it passes after 1 minutes"
    elsewhere = [*curves[:2], dataclasses.replace(curves[2], machine="a")]
    assert "| measured on another machine |" in markdown(table, elsewhere, seen).splitlines()[5]
    assert rows[4][-1] == "error: no"
    unlike = dataclasses.replace(curves[2].judged[1], protocol="classifier_5000_def")
    otherwise = [*curves[:2], dataclasses.replace(curves[2], judged=[unlike]), curves[3]]
    assert "| measured in another way |" in markdown(table, otherwise, seen).splitlines()[5]
    of_reals = [line for line in markdown(table, otherwise, seen).splitlines() if "| real" in line]
    assert [line.split(" | ")[1] for line in of_reals] == ["b", "b"]  # one for each classifier
    none_yet = Curve(original, 1, [], "not measured yet")
    line = markdown(table, [*curves, none_yet], seen).splitlines()[5]
    assert line.endswith("; seed 1: not measured yet |")
    assert "| 2.5 times the first row's worst seed" in line
    zero = [*curves[:2], Curve(original, 0, [judged(1, 0.0)], "", "2026-11-26", "b")]
    assert "| not told apart from 0 |" in markdown(table, zero, seen).splitlines()[5]
    assert rows[7][0] == "real images"
    assert imageio.imread(curves_png([(table, curves), (TABLES[1], [])])).shape[1] == 1300


def test_what_was_measured_is_not_trained_again_until_the_settings_change(tmp_path, monkeypatch):
    flagfile = tmp_path / "some.flags"
    flagfile.write_text("# about\n--beta_1=0.5\n")
    given = (f"--flagfile={flagfile}", "--seed=1", "--data_dir=here")
    run = TimedRun("svhn_dcgan", given, tmp_path / "run", 2.0)
    assert run.settings == ["svhn_dcgan", "--beta_1=0.5", "--seed=1"]
    monkeypatch.setattr(TimedRun, "train", lambda run: "")
    monkeypatch.setattr(TimedRun, "judged", lambda run: [judged(1, 0.123456789), judged(2, 3.0)])
    path = tmp_path / "measured/some.json"
    assert read(run, path) is None
    first = train(run)
    keep(first, path)
    assert [each.distance for each in first.judged] == [0.123456789, 3.0]
    again = read(dataclasses.replace(run, flags=(*given[:2], "--data_dir=there")), path)
    assert [each.distance for each in again.judged] == [0.12346, 3.0]
    assert again.judged[1].values == judged(2, 3.0).values
    assert path.read_text().count("_of_reals") == len(NAMES)
    assert (again.machine, again.settings) == (first.machine, first.settings)
    assert len(read(dataclasses.replace(run, minutes=1.0), path).judged) == 1
    assert read(dataclasses.replace(run, minutes=4.0), path) is None
    flagfile.write_text("--beta_1=0.6\n")
    assert read(run, path) is None


def test_other_settings_are_trained_in_another_folder(tmp_path):
    """A finished folder would otherwise be taken for one of the new settings."""
    table, places = TABLES[0], Places(tmp_path)
    peer = next(row for row in table.rows if row.peer)
    for row, other in ((table.rows[0], {"flags": ("--beta_1=0.1",)}), (peer, {"peer": "others"})):
        run = row.run(table, 0, places)
        assert run == row.run(table, 0, places)
        changed = dataclasses.replace(row, **other).run(table, 0, places)
        assert changed.workdir != run.workdir
        longer = row.run(dataclasses.replace(table, minutes=16), 0, places)
        assert longer.workdir == run.workdir
        assert "--evaluation_samples=5000" in run.settings
        # A peer of eight minutes is none of sixteen.
        run.workdir.mkdir(parents=True)
        (run.workdir / "done").write_text("8")
        assert longer.minutes_done() == (8 if row.peer else 0)


def test_a_failure_is_kept_and_tried_again_but_replaces_nothing(tmp_path):
    run, path = TimedRun("svhn_dcgan", (), tmp_path / "run", 2.0), tmp_path / "some.json"
    found = Measured(run.settings, 2.0, "here", "2026-11-26", [judged(1, 3.0)])
    failed = dataclasses.replace(found, minutes=4.0, judged=[], failure="error: no")
    keep(failed, path)
    assert read(run, path).failure == "error: no"
    for each in (found, failed):
        keep(each, path)
        assert read(run, path).failure == ""
        assert [one.distance for one in read(run, path).judged] == [3.0]


def test_a_grid_that_cannot_be_drawn_is_a_failure_which_is_tried_again(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(TimedRun, "train", lambda run: trained.append(run.workdir.name) or "")
    monkeypatch.setattr(TimedRun, "judged", lambda run: [judged(1, 0.5)])
    row = Row("best", "svhn_dcgan", "svhn_dcgan_best.flags")
    table = Table("some", 1, (row,), "drawn_digits")
    for _ in range(2):
        assert program.measure([table], Places(tmp_path / "runs"), tmp_path) == 1
        assert "no grid: error: `workdir`" in (tmp_path / "time_to_quality.md").read_text()
    assert len(trained) == 2


def test_what_another_process_trains_is_not_trained_beside_it(tmp_path):
    script = (
        "import sys, pathlib, gan_core\n"
        "lock = gan_core.run.RunLock(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ArgumentError, match="must not be in use"):
            TimedRun("svhn_dcgan", (), tmp_path, 1.0).train()
        holder.stdin.close()


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_stop_is_heard_though_the_run_has_ended_well(tmp_path, monkeypatch, number, is_ignored):
    """The signal comes when the run no longer looks for one: the next must not begin."""
    told, heard = tmp_path / "told", tmp_path / "heard"
    script = f"""
import pathlib, signal, time
told, heard = pathlib.Path({str(told)!r}), pathlib.Path({str(heard)!r})
for each in {[int(each) for each in STOP_SIGNALS]}:
    signal.signal(each, lambda number, _: heard.write_text(str(int(number))))
print(1, flush=True)
while not told.exists(): time.sleep(0.01)
"""
    monkeypatch.setattr(TimedRun, "command", lambda run: [sys.executable, "-c", script])
    started = tmp_path / "run/output.txt"

    def stop():
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), number)
        while not (heard.exists() or is_ignored):
            time.sleep(0.01)
        told.touch()

    how = signal.SIG_IGN if is_ignored else signal.default_int_handler
    before = signal.signal(number, how)
    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    try:
        with contextlib.nullcontext() if is_ignored else pytest.raises(KeyboardInterrupt):
            assert TimedRun("svhn_dcgan", (), tmp_path / "run", 1.0).train() == ""
    finally:
        thread.join(10)
        signal.signal(number, before)
    expected = number if number == signal.SIGINT else signal.SIGTERM
    assert heard.exists() != is_ignored
    assert is_ignored or heard.read_text() == str(int(expected))


def test_a_stop_while_the_program_starts_leaves_it_not_running(tmp_path, monkeypatch):
    pids = []

    class InterruptedPopen(subprocess.Popen):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            pids.append(self.pid)
            os.kill(os.getpid(), signal.SIGINT)

    script = "import time; time.sleep(60)"
    monkeypatch.setattr(TimedRun, "command", lambda run: [sys.executable, "-c", script])
    monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this
    try:
        with pytest.raises(KeyboardInterrupt):
            TimedRun("svhn_dcgan", (), tmp_path, 1.0).train()
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_terminal_shows_the_newest_line_of_a_run(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    script = """
import time
print("     step done      ETA")
print("      125   4%   7m 35s", end="\\n\\n", flush=True)
time.sleep(1)
"""
    monkeypatch.setattr(TimedRun, "command", lambda run: [sys.executable, "-c", script])
    monkeypatch.setattr(timed_runs, "_SECONDS_BETWEEN_LOOKS", 0.1)
    for stream, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert TimedRun("svhn_dcgan", (), tmp_path / "best_seed_0", 1.0).train() == ""
        assert ("\rbest_seed_0: 125 4% 7m 35s" in stream.getvalue()) == is_shown
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys, "stderr", Terminal())
    TimedRun("svhn_dcgan", (), tmp_path / "best_seed_0", 1.0).train()
    lines = sys.stderr.getvalue().split("\r")
    assert max(map(len, lines)) == 19
    assert "best_seed_0: 125 4%" in lines


def test_what_is_kept_is_of_the_settings_that_are_there(tmp_path):
    kept = ROOT / "experiments/results/measured"
    for table in TABLES:
        for row in table.rows:
            for seed in range(row.seeds):
                path = kept / table.name / f"{row.name}_seed_{seed}.json"
                run = row.run(table, seed, Places(tmp_path))
                assert not path.exists() or read(run, path), path


def test_the_tables_say_when_and_on_which_machine_each_row_was_measured(tmp_path):
    row = Row("best", "svhn_dcgan", "svhn_dcgan_best.flags", 2)
    table, places = Table("some", 1, (row,), "drawn_digits"), Places(tmp_path / "runs")
    for seed, machine in enumerate(["Xeon", "EPYC"]):
        settings = row.run(table, seed, places).settings
        values = {"settings": settings, "minutes": 1, "machine": machine, "date": "2026-11-26"}
        line = {"minutes": 1, "step": 1, "protocol": "p", "values": dict.fromkeys(NAMES, 0.5)}
        path = tmp_path / f"measured/some/best_seed_{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values | {"of_reals": {}, "judged": [line]}))
    program.measure([table], places, tmp_path)
    text = (tmp_path / "time_to_quality.md").read_text()
    assert "a: EPYC\n\nb: Xeon" in text
    assert "| `svhn_dcgan_best.flags` | 2026-11-26, b; 2026-11-26, a | 1.0, 1.0 |" in text


@pytest.mark.parametrize(("num_failed", "code"), [(0, 0), (2, 1)])
def test_the_exit_code_tells_whether_runs_failed(num_failed, code, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "measure", lambda *given: num_failed)
    assert program.COMMAND.run([f"--workdir={tmp_path}", "--tables=drawn_digits"]) == code
    assert ("2 runs failed" in capsys.readouterr().out) == bool(num_failed)


def test_what_is_not_known_is_told(capsys):
    assert program.COMMAND.run(["--tables=cifar"]) == 2
    assert "`tables` (cifar)" in capsys.readouterr().err
    assert program.COMMAND.run(["--tables=dog_gan"]) == 2
    assert "`pictures` (empty) must name a folder" in capsys.readouterr().err
    assert time_to_quality.__doc__.splitlines()[0] == program.__doc__.splitlines()[0]


def test_a_peer_is_judged_every_20_seconds_of_training_and_at_its_end(tmp_path, monkeypatch):
    seconds = 0.0

    def step(batch):
        nonlocal seconds
        seconds += batch
        return tf.constant(0.0)

    def judge():
        nonlocal seconds
        seconds += 7
        return {"frechet_distance@random_convolutions_100_abc": 0.5}

    clock = types.SimpleNamespace(monotonic=lambda: seconds)
    monkeypatch.setattr(peers, "time", clock)
    path = tmp_path / "metrics.jsonl"
    lines = peers.train(step, itertools.repeat(1.0), 0.95, judge)
    path.write_text("".join(f"{line}\n" for line in lines))
    found = judged_in(path)
    assert [each.step for each in found] == [10, 30, 50, 60]
    assert [60 * each.minutes for each in found] == pytest.approx([10, 30, 50, 57])


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["own networks", "tutorial's networks"])
def test_peers_are_judged_as_runs_are(peer, tmp_path):
    command = [
        sys.executable, "-m", "experiments.tools.time_to_quality.peers", f"--peer={peer}",
        "--minutes=0.4", f"--workdir={tmp_path}", "--dataset=drawn_digits", "--split=test",
        "--evaluation_samples=100", "--extractor=random_convolutions",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = judged_in(tmp_path / "metrics.jsonl")
    assert found[-1].minutes == pytest.approx(0.4)
    assert TimedRun("x", (), tmp_path, 0.4).judged() == found
    assert (tmp_path / "done").read_text() == "0.4"
    steps = [each.step for each in found]
    assert steps == sorted(set(steps))
    assert len({each.distance for each in found}) == len(found)
    assert {each.protocol for each in found} == {found[0].protocol}
    assert found[0].protocol.startswith("random_convolutions_100_")
    assert imageio.imread(tmp_path / "samples.png").shape[0] >= 8 * 28


def test_a_large_picture_is_halved_by_means():
    image = np.zeros((5, 6, 3), np.uint8)
    image[:2, :2] = [[[0, 10, 255]] * 2, [[4, 20, 255]] * 2]
    small = halved(image)
    assert small.shape == (2, 3, 3)
    assert small[0, 0].tolist() == [2, 15, 255]
    assert not small[1:].any()
    assert not small[:, 1:].any()
