"""Settings by successive halving: what is tried for how long, and what is said of it."""

import errno
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_experiments import SMALL

from experiments.program.process import CANNOT_WRITE, NOT_FINITE, STOPPED, USAGE
from experiments.settings.settings import EFFECTIVE_FLAGS, read_settings
from experiments.tools.search import __main__ as program
from experiments.tools.search import halving
from experiments.tools.search.plan import Search, read_space
from experiments.tools.timed_runs import Judged, TimedRun, last_line
from gan_core import ArgumentError

ROOT = Path(__file__).parent.parent
SPACE = {
    "--beta_1": ["0.5", "0.0", "0.9"],
    "--loss": ["hinge", "relativistic"],
    "--flip": ["false"],
}


def make(tmp_path, **given):
    usual = {
        "experiment": "fashion_mnist_gan",
        "space": SPACE,
        "flags": ("--dataset=drawn_digits", "--data_dir=somewhere"),
        "workdir": tmp_path,
        "candidates": 9,
        "minutes": 1.0,
        "keep_one_in": 3,
        "rounds": 3,
        "seeds": 2,
        "seed": 0,
    }
    return Search(**usual | given)


def test_a_space_is_a_line_a_flag(tmp_path):
    path = tmp_path / "space"
    path.write_text("# what\n\n--beta_1=0.5| 0.0 |0.5\n  --loss=hinge\n--augment=a,b | \n")
    expected = {"--beta_1": ["0.5", "0.0"], "--loss": ["hinge"], "--augment": ["a,b", ""]}
    assert read_space(path) == expected
    for text, words in (("beta_1=3", "must be a flag and its values"), ("# none", "a flag at le")):
        path.write_text(text)
        with pytest.raises(ArgumentError, match=words):
            read_space(path)
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_space(tmp_path / "none")


def test_what_is_tried_by_default_can_be_meant(tmp_path):
    defaults = {"--dataset": ["folder"], "--data_dir": ["somewhere"]}
    for candidate in make(tmp_path, space=defaults | read_space(program._SPACE), flags=()).draw():
        assert read_settings(candidate.flags, {})


def test_candidates_are_all_different_and_begin_with_the_first_values(tmp_path):
    found = make(tmp_path).draw()
    assert found[0].flags == ("--beta_1=0.5", "--loss=hinge", "--flip=false")
    assert len({candidate.flags for candidate in found}) == len(found) == 6
    assert found == make(tmp_path).draw()
    assert make(tmp_path, seed=1).draw()[1:] != found[1:]
    large = {f"--flag_{n}": list("abcdefgh") for n in range(20)}
    many = make(tmp_path, space=large, candidates=50).draw()
    assert len({candidate.flags for candidate in many}) == 50
    assert set(many[0].flags) == {f"--flag_{n}=a" for n in range(20)}


def test_the_time_of_all_rounds(tmp_path):
    nine = {"--beta_1": [str(n / 10) for n in range(9)]}
    assert make(tmp_path, space=nine).plan() == [(9, 1, 1), (3, 3, 1), (1, 9, 2)]
    # Those that go on do not begin anew; the second seed does.
    assert make(tmp_path, space=nine).total_minutes() == 9 * 1 + 3 * 2 + 6 + 9
    assert make(tmp_path, candidates=1).plan() == [(1, 1, 2)]
    for name, value in (("keep_one_in", 1), ("minutes", 0), ("candidates", 0), ("seeds", 0)):
        with pytest.raises(ArgumentError, match=name):
            make(tmp_path, **{name: value})
    for space, words in (
        ({"--seed": ["7"]}, r"`space` \(--seed\) is chosen by the search"),
        ({"--total_minutes": ["1", "3"]}, r"`space` \(--total_minutes\) is chosen by the search"),
        ({"--dataset": ["x"]}, "must not name what the command line gives"),
    ):
        with pytest.raises(ArgumentError, match=words):
            make(tmp_path, space=space)
    with pytest.raises(ArgumentError, match="must not name what the command line gives"):
        make(tmp_path, flags=("--noflip",))
    with pytest.raises(ArgumentError, match=r"`flags` \(--total_minutes\) is chosen"):
        make(tmp_path, flags=("--total_minutes=3",))


@pytest.fixture
def scripted(monkeypatch):
    """Runs whose distance is beta_1 + 1 / minutes; a relativistic one fails."""
    trained = []

    def train(run):
        trained.append((run.workdir.parent.name, run.workdir.name, run.minutes))
        run.workdir.mkdir(parents=True, exist_ok=True)
        text = read_settings(run.command()[3:], {}).as_flagfile()
        (run.workdir / EFFECTIVE_FLAGS).write_text(text)
        return "error: no" if "--loss=relativistic" in run.flags else ""

    def best(run):
        beta = float(next(f.split("=")[1] for f in run.flags if f.startswith("--beta_1")))
        values = {"frechet_distance": beta + 1 / run.minutes}
        return Judged(run.minutes, 1, values, "protocol")

    monkeypatch.setattr(TimedRun, "train", train)
    monkeypatch.setattr(TimedRun, "best", best)
    return trained


def test_the_better_ones_go_on_and_the_last_have_seeds(tmp_path, scripted):
    chosen = make(tmp_path, keep_one_in=2, rounds=3)
    ranked = halving.run(chosen)
    first, *_ = ranked
    assert first.candidate.flags[0] == "--beta_1=0.0"
    assert (first.round, first.minutes, first.distances) == (3, 4, [0.25, 0.25])
    assert [each.mean for each in ranked[-3:]] == [math.inf] * 3
    assert [minutes for *_, minutes in scripted] == [1] * 6 + [2] * 3 + [4] * 4
    table = (tmp_path / "search.md").read_text().splitlines()
    assert table[0] == "| candidate | round | minutes | distance | each seed | beta_1 | loss |"
    assert len(table) == 2 + 6
    assert "| inf | error: no |" in table[-1]
    settings = read_settings([f"--flagfile={tmp_path}/best.flags"], {})
    assert (settings.beta_1, settings.loss, settings.data_dir) == (0.0, "hinge", "")
    # All that it was trained with, whatever the experiment starts with.
    assert (settings.total_minutes, settings.total_steps) == (4, 10**9)
    assert settings.evaluate_every_steps == 50
    names = {line.split("=")[0] for line in (tmp_path / "best.flags").read_text().splitlines()}
    assert not names & {"--seed", "--data_dir", "--cache_dir", "--workdir", "--mode"}
    # Of a search with fewer rounds, in the same folder, their minutes.
    halving.run(make(tmp_path, keep_one_in=2, rounds=1))
    assert read_settings([f"--flagfile={tmp_path}/best.flags"], {}).total_minutes == 1


def test_going_on_takes_back_nothing_that_is_written(tmp_path, scripted, monkeypatch):
    """The first rounds are only read again; a table of them alone would hide the later ones."""
    chosen = make(tmp_path, keep_one_in=2, rounds=3)
    halving.run(chosen)
    files = {name: (tmp_path / name).read_text() for name in ("search.md", "best.flags")}
    train = TimedRun.train
    monkeypatch.setattr(TimedRun, "minutes_done", lambda run: 4.0)

    def stop_in_the_last_round(run):
        if run.minutes == 4:
            raise KeyboardInterrupt
        return train(run)

    monkeypatch.setattr(TimedRun, "train", stop_in_the_last_round)
    with pytest.raises(KeyboardInterrupt):
        halving.run(chosen)
    assert {name: (tmp_path / name).read_text() for name in files} == files
    monkeypatch.setattr(TimedRun, "train", train)
    halving.run(chosen)
    assert {name: (tmp_path / name).read_text() for name in files} == files


def test_a_failure_of_a_later_round_is_not_the_best(tmp_path, scripted, monkeypatch):
    train = TimedRun.train
    monkeypatch.setattr(
        TimedRun, "train", lambda run: "error: NaN" if run.workdir.name == "seed_1" else train(run)
    )
    space = {"--beta_1": ["0.5", "0.0", "0.9", "0.2"]}
    halving.run(make(tmp_path, space=space, keep_one_in=4, rounds=2))
    lines = (tmp_path / "search.md").read_text().splitlines()
    assert lines[2].startswith("| 2 | 1 | 1 | 1.2 | 1.2 | 0.2 |")
    assert lines[-1].startswith("| 1 | 2 | 4 | inf | error: NaN |")
    assert read_settings([f"--flagfile={tmp_path}/best.flags"], {}).beta_1 == 0.2


def test_a_search_in_which_nothing_can_train_ends_with_the_reason(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(TimedRun, "train", lambda run: "error: `networks` (leaky) is not known")
    assert program.COMMAND.run(["svhn_dcgan", f"--workdir={tmp_path}"]) == USAGE
    assert "but all failed; see: error: `networks` (leaky)" in capsys.readouterr().err
    assert not (tmp_path / "best.flags").exists()


def test_a_full_disk_is_no_fault_of_the_settings(tmp_path, capsys, scripted, monkeypatch):
    """The search stops; it does not go on to the candidates that were worse."""
    train = TimedRun.train

    def fill_the_disk(run):
        if run.minutes > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return train(run)

    monkeypatch.setattr(TimedRun, "train", fill_the_disk)
    space = tmp_path / "space"
    space.write_text("--beta_1=0.5 | 0.0 | 0.2\n")
    given = ["fashion_mnist_gan", f"--space={space}", f"--workdir={tmp_path}/search"]
    assert program.COMMAND.run(given) == CANNOT_WRITE
    found = capsys.readouterr()
    assert "the best is" not in found.out
    assert "No space left on device); fix this, then run the same command to resume" in found.err


def test_a_run_that_a_signal_ended_says_so_beside_its_last_words(tmp_path, monkeypatch):
    script = "import os, sys; print('all is well', file=sys.stderr, flush=True); os.abort()"
    monkeypatch.setattr(TimedRun, "command", lambda run: [sys.executable, "-c", script])
    assert TimedRun("svhn_dcgan", (), tmp_path / "run", 1.0).train() == (
        f"ended by signal {int(signal.SIGABRT)}; all is well"
    )
    assert last_line("", -signal.SIGKILL) == "ended by signal 9, for want of memory perhaps"


def test_a_run_whose_disk_is_full_says_so_and_not_that_it_failed(tmp_path, monkeypatch):
    for code, is_full in ((CANNOT_WRITE, True), (NOT_FINITE, False)):
        command = [sys.executable, "-c", f"raise SystemExit({code})"]
        monkeypatch.setattr(TimedRun, "command", lambda run, command=command: command)
        run = TimedRun("svhn_dcgan", (), tmp_path / "run", 1.0)
        if is_full:
            with pytest.raises(OSError, match="cannot be written to, as output"):
                run.train()
        else:
            assert run.train() == f"exit code {code}"


def test_rates_that_would_never_fall_are_refused(tmp_path, capsys, scripted):
    space, schedule = tmp_path / "space", "--learning_rate_schedule=constant | cosine\n"
    space.write_text(f"--networks=no_dropout\n{schedule}")
    given = ["fashion_mnist_dcgan", f"--space={space}", f"--workdir={tmp_path}/search"]
    assert program.COMMAND.run(given) == USAGE
    error = capsys.readouterr().err
    assert "`learning_rate_schedule` (cosine) needs learning_rate_decay_steps" in error
    assert not scripted
    space.write_text(f"{schedule}--beta_1=0.5\n")  # the best flagfile names an end
    assert program.COMMAND.run(["fashion_mnist_dcgan", *given[1:]]) == 0
    assert program.COMMAND.run(["no_such", f"--workdir={tmp_path}/other"]) == USAGE
    assert "`experiment` (no_such) must be an experiment" in capsys.readouterr().err


def test_another_search_does_not_go_on_in_its_folder(tmp_path, capsys, scripted):
    space = tmp_path / "space"
    space.write_text("--beta_1=0.5 | 0.0\n")
    given = ["fashion_mnist_gan", f"--space={space}", f"--workdir={tmp_path}/search"]
    assert program.COMMAND.run(given) == 0
    assert "the best is candidate 1" in capsys.readouterr().out
    assert program.COMMAND.run([*given, "--rounds=1"]) == 0
    space.write_text("--beta_1=0.5 | 0.1\n")
    assert program.COMMAND.run(given) == 2
    assert "holds another search; choose another folder" in capsys.readouterr().err


@pytest.mark.slow
def test_it_searches_and_goes_on_where_it_was_stopped(tmp_path):
    space = tmp_path / "space"
    space.write_text("--generator_learning_rate=2e-4 | 1e-3\n--extractor=random_convolutions\n")
    command = [
        sys.executable, "-m", "experiments.tools.search", "fashion_mnist_gan", f"--space={space}",
        f"--workdir={tmp_path}/search", "--minutes=0.15", "--keep_one_in=2", "--rounds=2",
        *(flag for flag in SMALL if "steps" not in flag), "--evaluation_samples=50",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        checkpoints = tmp_path / "search/candidate_000/seed_0/samples"
        while not checkpoints.exists():
            assert first.poll() is None
            time.sleep(0.05)
        first.send_signal(signal.SIGTERM)
        assert "stopped; run the same command to resume" in first.communicate(timeout=60)[0]
    assert first.returncode == STOPPED
    outputs = []
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        table = (tmp_path / "search/search.md").read_text()
        outputs.append((table, done.stdout.splitlines()[-1]))
    assert outputs[0] == outputs[1]
    assert "| inf |" not in outputs[0][0]
    settings = read_settings([f"--flagfile={tmp_path}/search/best.flags"], {})
    assert settings.extractor == "random_convolutions"
    assert settings.total_minutes == 0.3
    assert (
        "from step 0" not in (checkpoints.parent / "output.txt").read_text().split("to 1,0", 2)[2]
    )
