"""Answers before TensorFlow is imported, and reports about the start."""

from __future__ import annotations

import dataclasses
import errno
import gc
import json
import os
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from experiments import __main__ as listing
from experiments.fashion_mnist_dcgan import EXPERIMENT
from experiments.program import process
from experiments.program.process import import_tensorflow
from experiments.settings.flag import Options, flag
from experiments.settings.settings import read_settings
from gan_core.run.process import StartupClock

ROOT = Path(__file__).parent.parent
MAY_BE_IMPORTED = {"absl", "etils", "experiments", "gan_core"}
"""Third-party packages that help and refusals may import."""

ANSWERS = """
import contextlib, io, json, sys
before = set(sys.modules)
from experiments import fashion_mnist_dcgan
from experiments.program import main as runner
codes, texts = [], []
for arguments in json.loads(sys.argv[1]):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        codes.append(runner.run(fashion_mnist_dcgan.EXPERIMENT, arguments))
    texts.append(printed.getvalue())
names = {name.split(".")[0] for name in set(sys.modules) - before}
foreign = [n for n in names if n not in sys.stdlib_module_names and not n.startswith("_")]
print(json.dumps([codes, texts, sorted(n for n in foreign if "editable" not in n)]))
"""


@pytest.fixture(scope="module")
def run_before(tmp_path_factory):
    """A folder with a run's settings and checkpoint facts, and a folder for a locked run."""
    folder = tmp_path_factory.mktemp("before")
    checkpoint = folder / "run" / "checkpoints" / "step_0000010"
    checkpoint.mkdir(parents=True)
    facts = {
        "experiment": "fashion_mnist_dcgan",
        "latents": "NormalLatents(size=100)",
        "value range": [-1.0, 1.0],
        "settings": read_settings(["--seed=3"], EXPERIMENT.defaults).as_dict(),
        "outputs": {"metrics_window": {}, "last_picture": 0},
    }
    (checkpoint / "facts.json").write_text(json.dumps(facts))
    (folder / "run" / "effective.flags").write_text("--seed=3\n")
    (folder / "held").mkdir()
    (folder / "file").write_text("")
    return folder


ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
PROGRAM = "from experiments.program.process import import_tensorflow; import_tensorflow()"
EXAMPLE = "import experiments.examples.common"
PRINT_KERNELS = """
from tensorflow.python.framework import test_util
print("oneDNN" if test_util.IsMklEnabled() else "TensorFlow")
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of x86 processors")
@pytest.mark.parametrize(
    ("start", "given", "expected"),
    [
        (PROGRAM, {}, "oneDNN"),
        (EXAMPLE, {}, "oneDNN"),
        (PROGRAM, {ONEDNN: "0"}, "TensorFlow"),
    ],
)
def test_kernels_are_those_of_onednn_by_default(start, given, expected):
    others = {name: value for name, value in os.environ.items() if name != ONEDNN}
    done = subprocess.run(
        [sys.executable, "-c", start + PRINT_KERNELS], cwd=ROOT, env=others | given,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [expected]


def test_help_and_refusals_come_before_tensorflow(run_before):
    held = f"--workdir={run_before}/held"
    run = f"--workdir={run_before}/run"
    cases = [
        (["--help"], 0, "--total_steps="),
        (["--batch_size=3"], 2, "did you mean --global_batch_size?"),
        (["--total_steps=many"], 2, "must be a whole number"),
        (["--seed=-1"], 2, "`seed` (-1) must be 0 or more"),
        ([f"--workdir={run_before}/file/run"], 2, "is a file; move it"),
        (["--mode=generate", f"--workdir={run_before}/none"], 2, "must hold a checkpoint"),
        (["--mode=evaluate", f"--workdir={run_before}/none"], 2, "must hold a checkpoint"),
        ([held], 2, "must not be in use, but is locked by"),
        ([run, "--seed=4"], 2, "(seed: was 3, now 4)"),
        ([run, "--sample_every_steps=100"], 2, "or give --allow_changes"),
    ]
    with (run_before / "held" / "run.lock").open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-c", ANSWERS, json.dumps([arguments for arguments, *_ in cases])],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    codes, texts, imported = json.loads(done.stdout)
    assert codes == [code for _, code, _ in cases]
    for text, (_, code, words) in zip(texts, cases, strict=True):
        assert words in text
        assert code == 0 or text.count("\n") == 1
    assert set(imported) <= MAY_BE_IMPORTED


def test_importing_the_engine_imports_nothing_heavy():
    program = "import sys, gan_core; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_objects_of_one_run_are_freed_after_the_next_has_begun():
    class Ring:
        def __init__(self):
            self.next = self

    left = weakref.ref(Ring())
    import_tensorflow()
    gc.collect()
    assert left() is None


def test_all_experiments_and_programs_are_listed():
    done = subprocess.run(
        [sys.executable, "-m", "experiments"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == listing.overview() + "\n", done.stderr
    words = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    flagfiles = {path.stem for path in (ROOT / "experiments/flagfiles").glob("*.flags")}
    experiments = {path.stem for path in (ROOT / "experiments").glob("*.py")} & flagfiles
    assert len(experiments) == 7
    modes = {"--mode=train", "--mode=generate", "--mode=evaluate", "--mode=info"}
    examples = {"wgan_gp_svhn", "r3gan_svhn", "conditional_mnist", "cyclegan_digits", "custom_loop"}
    programs = {"crash_test", "benchmark", "compare_folders", "search", "time_to_quality"}
    assert words - {"python"} == experiments | modes | examples | programs


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("search", "tools.search"),
        ("evaluate", "tools.compare_folders"),
        ("custom_loop", "examples.custom_loop"),
    ],
)
def test_a_program_that_moved_says_where(old, new):
    command = [sys.executable, "-m", f"experiments.{old}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    words = f"error: `experiments.{old}` has moved; use python -m experiments.{new}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", words)


def test_laps_add_up(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("gan_core.run.process.time.monotonic", lambda: now[0])
    startup = StartupClock()
    for name, seconds in (("checks", 0.25), ("data", 2.0), ("data", 1.0)):
        now[0] += seconds
        startup.lap(name)
    assert startup.describe() == "first step after 3.2 s: checks 0.2, data 3.0"
    assert startup.describe(10).startswith("first 10 steps after 3.2 s: ")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes(Options):
    """Options of a program."""

    size: int = flag(3, above=0)
    """Size."""


def test_a_program_parses_its_flags_and_returns_an_exit_code(capsys):
    done = []
    program = process.Command(Sizes, lambda options: done.append(options.size), "About it.")
    assert program.run([]) == program.run(["--size=4"]) == process.DONE
    assert done == [3, 4]
    assert program.run(["--size=0"]) == program.run(["word"]) == process.USAGE
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: `size` (0) must be above 0, and finite; the default is 3."
    assert second == "error: `arguments` (word) must be flags; write --name=value."
    assert program.run(["--help"]) == process.DONE
    assert capsys.readouterr().out.startswith("About it.\n\n--flagfile=<file>\n")
    assert done == [3, 4]
    failing = process.Command(Sizes, lambda options: process.FAILED, None)
    assert failing.run([]) == process.FAILED


def test_a_resumable_program_reports_a_full_disk(capsys):
    def work():
        raise OSError(errno.ENOSPC, "No space left on device", "search.md")

    assert process.run_program(work, resumable=True) == process.CANNOT_WRITE
    words = "left on device: 'search.md'); fix this, then run the same command to resume"
    assert words in capsys.readouterr().err
    with pytest.raises(OSError, match="No space left"):
        process.run_program(work)
    with pytest.raises(FileNotFoundError):
        process.run_program(lambda: open("/no/such/file").close(), resumable=True)


@pytest.mark.parametrize(
    ("resumable", "code", "words"),
    [(False, process.INTERRUPTED, "interrupted"), (True, process.STOPPED, "to resume")],
)
def test_an_interrupted_program_says_whether_it_resumes(resumable, code, words, capsys):
    def work():
        raise KeyboardInterrupt

    assert process.run_program(work, resumable=resumable) == code
    assert words in "".join(capsys.readouterr())
