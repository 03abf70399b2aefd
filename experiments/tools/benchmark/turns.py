"""Contestants in child processes that take turns: A B C A B C."""

from __future__ import annotations

import dataclasses
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm

import gan_core
from experiments.tools.benchmark.contestants import ENGINE, Task, maker_of

_SETTLING_SECONDS = 0.2
"""Pause between two turns, after which spinning threads, as OpenMP's, are asleep."""


@dataclasses.dataclass
class Result:
    """Measurements of one contestant.

    Attributes:
      title: Name for people.
      precision: Its dtype policy.
      first_step_seconds: Seconds from building the networks to the end of the first step.
      step_seconds: Seconds per step of each turn.
      waiting_share: Share of the turns spent waiting for data; None if unknown.
      memory_gib: Peak memory beyond the imported libraries.
      engine_seconds: For each turn, seconds per step of the engine in it, by precision.
    """

    title: str
    precision: str
    first_step_seconds: float
    step_seconds: list[float] = dataclasses.field(default_factory=list)
    waiting_share: float | None = None
    memory_gib: float = 0.0
    engine_seconds: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @property
    def median_seconds(self) -> float:
        """Seconds per step, the median over the turns."""
        return statistics.median(self.step_seconds)


class ContestantProcess:
    """A contestant in a child process, which separates its peak memory and threads."""

    def __init__(self, name: str, task: Task):
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, name, task), daemon=True)
        self._process.start()
        self._name = f"{name}, {task.precision}, of {task.experiment}"
        other_end.close()
        title, first_step_seconds = self._receive()
        self.result = Result(title, task.precision, first_step_seconds)
        self._seconds = self._waited = 0.0

    def warm_up(self, num_steps: int) -> float:
        """Seconds per step of the warm-up, which are not counted."""
        seconds, _ = self._run(num_steps)
        return seconds / num_steps

    def take_turn(self, num_steps: int) -> float:
        """Seconds per step."""
        seconds, waited = self._run(num_steps)
        self._seconds += seconds
        self._waited = None if waited is None or self._waited is None else self._waited + waited
        self.result.step_seconds.append(seconds / num_steps)
        return seconds / num_steps

    def close(self) -> Result:
        """Ends the process; returns the measurements."""
        self._send(None)
        self.result.memory_gib = self._receive()
        self._process.join()
        if self._waited is not None and self._seconds:
            self.result.waiting_share = self._waited / self._seconds
        return self.result

    def _run(self, num_steps: int) -> tuple[float, float | None]:
        time.sleep(_SETTLING_SECONDS)
        self._send(num_steps)
        return self._receive()

    def _send(self, message: int | None) -> None:
        try:
            self._connection.send(message)
        except OSError:
            raise self._ended() from None

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"the process of {self._name} ended; what it said is above")


def measure(
    engines: Sequence[Task],
    peers: Sequence[tuple[str, Task]],
    *,
    turns: int,
    seconds_a_turn: float,
) -> list[Result]:
    """Measures each peer in turn with the engine, which takes part in all given precisions.

    A turn has as many steps as the first of the engines does in `seconds_a_turn`. A peer that
    cannot start is left out, and that is said.
    """
    running = [ContestantProcess(ENGINE, task) for task in engines]
    steps = max(1, round(seconds_a_turn / running[0].warm_up(2)))
    results = []
    progress = tqdm(peers or [None], unit=" peers", disable=None)
    for peer in progress:
        progress.set_description(" ".join([peer[0], peer[1].precision]) if peer else ENGINE)
        rival = None
        if peer:
            try:
                rival = ContestantProcess(*peer)
            except RuntimeError as error:  # for example no compiler for PyTorch
                progress.write(f"left out: {error}")
        contestants = [*running, rival] if rival else running
        for contestant in contestants:
            contestant.warm_up(max(2, steps // 2))
        for _ in range(turns):
            taken = {engine.result.precision: engine.take_turn(steps) for engine in running}
            if rival:
                rival.take_turn(steps)
            for contestant in contestants:
                contestant.result.engine_seconds.append(taken)
        if rival:
            results.append(rival.close())
            done = rival.result
            milliseconds = 1e3 * done.median_seconds
            progress.write(f"{done.title}, {done.precision}: {milliseconds:.1f} ms a step")
    return [*(engine.close() for engine in running), *results]


def _serve(connection: Connection, name: str, task: Task) -> None:
    """A contestant's process: built, warmed up by one step, then as many steps as requested."""
    make = maker_of(name)
    imported_gib = gan_core.run.resident_gib()
    start = time.perf_counter()
    contestant = make(task)
    contestant.run_steps(1)
    connection.send((contestant.title, time.perf_counter() - start))
    while (num_steps := connection.recv()) is not None:
        start = time.perf_counter()
        waited = contestant.run_steps(num_steps)
        connection.send((time.perf_counter() - start, waited))
    connection.send(gan_core.run.peak_resident_gib() - imported_gib)
