"""A process waits for the others: quietly at first, with an end, and open to signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gan_core
from gan_core.run import waiting

ROOT = Path(__file__).parent.parent.parent


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def cluster(ports, index=0):
    workers = [f"localhost:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def test_it_names_who_is_absent_and_gives_up(monkeypatch):
    monkeypatch.setattr(waiting, "_QUIET_SECONDS", 0.1)
    with socket.create_server(("localhost", 0)) as there:
        own, absent = free_ports(2)
        monkeypatch.setenv("TF_CONFIG", cluster([own, there.getsockname()[1], absent]))
        said = []
        name = rf"worker 2 \(localhost:{absent}\)"
        with pytest.raises(
            gan_core.ArgumentError, match=rf"\({name}\) did not accept conn.* 0\.5 s"
        ):
            gan_core.run.wait_for_workers(0.5, said.append)
    assert said == [f"waiting for worker 2 (localhost:{absent}), up to 0.5 s"]


def test_all_come_whoever_is_first_and_leave_their_ports_free(monkeypatch):
    """In threads, one after the other; who goes on leaves its port to TensorFlow's server."""
    ports = free_ports(3)
    configs = iter([json.loads(cluster(ports, index)) for index in range(3)])
    monkeypatch.setattr(waiting, "read_cluster", lambda: next(configs))
    servers, lock, said = [], threading.Lock(), []

    def one(number):
        gan_core.run.wait_for_workers(20, said.append)
        with lock:
            servers.append(socket.create_server(("", ports[number]), reuse_port=True))

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=one, args=(number,)))
        threads[-1].start()
        if number < 2:
            threads[-1].join(0.4)
            assert threads[-1].is_alive()
    for thread in threads:
        thread.join(20)
    assert len(servers) == 3
    assert said == []
    for server in servers:
        server.close()


def test_a_port_that_another_program_has_is_told(monkeypatch):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("TF_CONFIG", cluster([port, *free_ports(1)]))
        with pytest.raises(gan_core.ArgumentError, match="must have a port that is free"):
            gan_core.run.wait_for_workers(1)
    with pytest.raises(gan_core.ArgumentError, match="timeout_seconds"):
        gan_core.run.wait_for_workers(0)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["signal", "time"])
def test_a_start_that_waits_for_a_worker_can_be_ended(how, tmp_path):
    ports = free_ports(2)
    command = [
        sys.executable, "-m", "experiments.fashion_mnist_gan", f"--flagfile={os.devnull}",
        "--dataset=drawn_digits", "--strategy=multi_worker", f"--workdir={tmp_path}/run",
        "--worker_timeout_secs=15",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TF_CONFIG": cluster(ports)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        line = process.stdout.readline()
        assert f"waiting for worker 1 (localhost:{ports[1]}), up to 15 s" in line
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGTERM if how == "signal" else 2), errors
    assert ("did not accept connections within 15 s" in errors) == (how == "time")
    assert not (tmp_path / "run").exists()
