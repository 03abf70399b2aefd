import errno
import fcntl
import os
import platform
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import gan_core
from gan_core.errors import ArgumentError

HOLD = """
import sys, time
from pathlib import Path
from gan_core.run.process import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(300)
"""


def test_a_second_process_is_refused_and_one_that_died_leaves_nothing_locked(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        words = f'"host": "{platform.node()}", "process_id": {holder.pid}'
        with pytest.raises(ArgumentError, match=rf"must not be in use, .*{re.escape(words)}"):
            gan_core.run.RunLock(tmp_path)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    remedy = "wait for that run, stop it, or choose another folder"
    with gan_core.run.RunLock(tmp_path), pytest.raises(ArgumentError, match=remedy):
        gan_core.run.RunLock(tmp_path)
    gan_core.run.RunLock(tmp_path).close()


def test_the_lock_holds_without_its_file(tmp_path):
    with gan_core.run.RunLock(tmp_path):
        (tmp_path / "run.lock").unlink()
        for ask in (gan_core.run.RunLock, gan_core.run.RunLock.check_free):
            with pytest.raises(ArgumentError, match="must not be in use"):
                ask(tmp_path)
    gan_core.run.RunLock.check_free(tmp_path)
    gan_core.run.RunLock(tmp_path).close()
    gan_core.run.RunLock.check_free(tmp_path / "none")


def test_a_link_in_its_place_is_not_followed(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "run.lock").symlink_to(mine)
    with pytest.raises(ArgumentError, match=r"run\.lock is a link; choose another folder"):
        gan_core.run.RunLock(workdir)
    assert mine.read_text() == "mine"


WITHOUT_UNIX = """
import importlib, pkgutil, sys, psutil
sys.modules["fcntl"] = sys.modules["resource"] = None  # what Windows has not
from pathlib import Path
import gan_core
for module in pkgutil.walk_packages(gan_core.__path__, "gan_core."):
    importlib.import_module(module.name)
folder = Path(sys.argv[1])
with gan_core.run.RunLock(folder):
    try:
        gan_core.run.RunLock(folder)
    except gan_core.ArgumentError as error:
        print(error)
gan_core.run.RunLock.check_free(folder)
print(gan_core.run.resident_gib() > 0.01)
"""


def test_without_modules_of_unix_all_can_be_imported_and_folders_are_held(tmp_path):
    program = [sys.executable, "-W", "ignore", "-c", WITHOUT_UNIX, str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused, measured = done.stdout.splitlines()
    assert "must not be in use, but is locked by" in refused
    assert measured == "True"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked_it_warns(number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(RuntimeWarning, match="see to it that no other run uses it"):
        gan_core.run.RunLock(tmp_path).close()
    gan_core.run.RunLock.check_free(tmp_path)


def test_a_pipe_as_the_holder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.holder")
    with gan_core.run.RunLock(tmp_path):
        with pytest.raises(ArgumentError, match=f'"process_id": {os.getpid()}'):
            gan_core.run.RunLock(tmp_path)
        (tmp_path / "run.holder").unlink()
        os.mkfifo(tmp_path / "run.holder")
        with pytest.raises(ArgumentError, match="is locked by another process"):
            gan_core.run.RunLock(tmp_path)


BUSY = """
import os, time
from gan_core.run.process import StopSignals

def say(words):
    # Each line in one piece: two threads say something.
    os.write(1, f"{words}\\n".encode())

with StopSignals(announce=say) as signals:
    say("ready")
    # One call into C that holds signal handlers back, like a call of many steps.
    while signals.received is None:
        time.sleep(0.01)
    say("first")
    __import__("threading").Event().wait(60)
"""


@pytest.fixture
def hangup_is_heard():
    """Whatever started the tests: `nohup` has its programs ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with gan_core.run.StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        deadline = time.monotonic() + 10
        while signals.received is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert signals.received == number
        os.kill(os.getpid(), signal.SIGHUP)  # of several only the first counts
        time.sleep(0.05)
    assert signal.getsignal(number) is before


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with gan_core.run.StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            assert signals.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_ends_the_process_at_once():
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        lines = {process.stdout.readline() for _ in range(2)}
        assert "first\n" in lines
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_memory_is_that_of_this_process():
    before = gan_core.run.resident_gib()
    block = np.ones(2**26)
    assert 0.45 < gan_core.run.resident_gib() - before < 0.55
    del block
    assert gan_core.run.resident_gib() - before < 0.05
    assert gan_core.run.peak_resident_gib() - before > 0.45
