import os
import signal
import subprocess
import sys
import time

import pytest

import gan_core

BUSY = """
import os, time
from gan_core.run.stop_signals import StopSignals

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
