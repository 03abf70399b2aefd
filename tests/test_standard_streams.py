"""Programs whose standard output or error is closed, full or unread."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sizes import sampled
from test_experiments import SMALL, metrics

from experiments.program.process import INTERRUPTED

ROOT = Path(__file__).parent.parent
PROGRAM = f"{sys.executable} -m experiments.fashion_mnist_gan"
SMALL_RUN = f"{PROGRAM} {' '.join(SMALL)}"


def shell(command):
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("command", "code", "output", "errors"),
    [
        ("--help | head -1; exit ${PIPESTATUS[0]}", 0, "A feed-forward GAN", ""),
        ("--help >&-", 0, "", ""),
        ("--help 2>&-", 0, "A feed-forward GAN", ""),
        ("--help >/dev/full", 0, "", "warning: standard output cannot be written ("),
        ("--seeed=3 2>&-", 2, "", ""),
        ("--seeed=3 >&-", 2, "", "error: `flag` (--seeed=3) is not known"),
        ("--seeed=3 <&- >&- 2>&-", 2, "", ""),
        ("--seeed=3 2>/dev/full", 2, "", ""),
    ],
)
def test_a_missing_stream_changes_no_exit_code(command, code, output, errors):
    done = shell(f"{PROGRAM} {command}")
    assert done.returncode == code
    for printed, expected in ((done.stdout, output), (done.stderr, errors)):
        assert printed.startswith(expected)
        assert bool(printed) == bool(expected)
    assert done.stderr.count("\n") <= 1


def test_characters_outside_the_encoding_are_escaped(tmp_path):
    done = shell(f"PYTHONIOENCODING=ascii {PROGRAM} --mode=generate --workdir={tmp_path}/ümlaut")
    assert done.returncode == 2
    assert r"\xfcmlaut) must hold a checkpoint" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_ctrl_c_during_the_import_of_tensorflow_prints_one_word(tmp_path):
    for seconds in (0.0, 0.4, 1.0):
        with subprocess.Popen(
            [sys.executable, "-m", "experiments.fashion_mnist_gan", *SMALL],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while "/tensorflow/" not in Path(f"/proc/{process.pid}/maps").read_text():
                time.sleep(0.01)
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        assert (output, errors) == ("", "interrupted\n")
        assert process.returncode == INTERRUPTED
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "streams",
    sampled(["| head -1", ">&-", ">/dev/full", ">&- 2>&-", "| true"], ["| head -1", ">&- 2>&-"]),
)
def test_training_continues_if_nobody_reads_the_output(streams, tmp_path):
    done = shell(f"{SMALL_RUN} --workdir={tmp_path} {streams}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2]
    assert (tmp_path / "training.gif").stat().st_size
    assert "metrics" not in done.stderr
    for path in tmp_path.rglob("*"):  # no file of the run holds printed text
        assert path.is_dir() or b"first step after" not in path.read_bytes()
