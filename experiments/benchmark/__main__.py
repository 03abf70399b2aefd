"""The engine's step against what a user would write instead, side by side in one run.

    python -m experiments.benchmark --experiment=svhn_dcgan --precision=float32,mixed_bfloat16

All train the same networks with the same batch on noise, each in a process of its own. They take
turns (engine, peer, engine, peer, ...) after a warm-up; what counts is the median over the turns of
a step's time, and of its ratio to the engine's in the same turn. It also measures the largest
matrix product that this machine can do in the same precision and counts the step's arithmetic,
which gives the share of that ceiling (padding counts as if it were computed, and good kernels leave
it out: the share can exceed 100%). PyTorch takes part where it is installed. Several batch sizes,
and `dcgan_<resolution>` as experiments, give a table of cost against size.

It prints the tables and writes them, `benchmark.json` and `benchmark.png`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import keras
from absl import app, flags

import gan_core
from experiments import flags as experiment_flags
from experiments.benchmark import contestants, report, turns
from experiments.benchmark.arithmetic import measure_ceiling, step_flops
from experiments.benchmark.contestants import ENGINE, PEERS, Task
from experiments.benchmark.keras_peers import keras_networks

_PRECISIONS = ("float32", "mixed_bfloat16")


def _define_flags() -> None:
    """When this is run, not when it is imported: other programs have flags of the same names."""
    flags.DEFINE_list("experiment", ["svhn_dcgan"], "Names of experiments, or dcgan_<resolution>.")
    flags.DEFINE_list("peers", _installed_peers(), f"Some of {', '.join(PEERS)}, or none.")
    flags.DEFINE_list("precision", list(_PRECISIONS), "Dtype policies.")
    flags.DEFINE_list("global_batch_size", [], "The experiment's if empty.")
    strategies = ["none", "one_device", "mirrored"]
    flags.DEFINE_enum("strategy", "none", strategies, "What the engine runs under.")
    flags.DEFINE_integer("virtual_devices", 1, "Devices to split the CPU into.", lower_bound=1)
    flags.DEFINE_integer("turns", 10, "How often each has its turn.", lower_bound=1)
    flags.DEFINE_float("seconds_a_turn", 2.0, "What a turn of the engine takes.", lower_bound=0.0)
    flags.DEFINE_string("output", "runs/benchmark", "Folder of table, JSON and chart.")


def main(arguments: list[str]) -> int:
    """Runs the benchmark."""
    del arguments
    chosen = flags.FLAGS
    _check_choices("peers", chosen.peers, PEERS)
    _check_choices("precision", chosen.precision, _PRECISIONS)
    machine = _describe_machine()
    print(machine)
    ceilings = {precision: measure_ceiling(precision) for precision in chosen.precision}
    for precision, ceiling in ceilings.items():
        print(f"largest matrix product, {precision}: {ceiling / 1e9:.0f} GFLOP/s", flush=True)
    comparisons = []
    for name in chosen.experiment:
        experiment = contestants.load_experiment(name)
        default = experiment_flags.parse([], experiment.defaults).global_batch_size
        flops_an_image = step_flops(*keras_networks(experiment), 1)
        keras.backend.clear_session()
        for batch_size in [int(size) for size in chosen.global_batch_size] or [default]:
            engines = [
                Task(name, batch_size, precision, chosen.strategy, chosen.virtual_devices)
                for precision in chosen.precision
            ]
            results = turns.measure(
                engines,
                [(peer, task) for task in engines for peer in chosen.peers],
                engine_name=ENGINE,
                turns=chosen.turns,
                seconds_a_turn=chosen.seconds_a_turn,
            )
            flops = batch_size * flops_an_image
            comparisons.append(report.Comparison(name, batch_size, flops, results))
            print("\n" + report.table(comparisons[-1], ceilings), flush=True)
    _write(Path(chosen.output), machine, ceilings, comparisons)
    return 0


def _write(
    folder: Path,
    machine: str,
    ceilings: dict[str, float],
    comparisons: Sequence[report.Comparison],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [machine, *(report.table(comparison, ceilings) for comparison in comparisons)]
    if len(comparisons) > 1:
        texts.append(report.cost_table(comparisons))
        print("\n" + texts[-1])
    record = {
        "machine": machine,
        "ceilings": ceilings,
        "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
    }
    (folder / "benchmark.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "benchmark.md").write_text("\n\n".join(texts) + "\n")
    (folder / "benchmark.png").write_bytes(report.chart(comparisons))
    print(f"\nwritten to {folder}")


def _installed_peers() -> list[str]:
    """All peers whose libraries are here."""
    with_torch = importlib.util.find_spec("torch") is not None
    return [peer for peer in PEERS if with_torch or not peer.startswith("torch")]


def _describe_machine() -> str:
    libraries = {"TensorFlow": "tensorflow", "Keras": "keras", "PyTorch": "torch"}
    versions = [
        f"{title} {importlib.metadata.version(name)}"
        for title, name in libraries.items()
        if importlib.util.find_spec(name)
    ]
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python "
        f"{platform.python_version()}, {', '.join(versions)}"
    )


def _check_choices(name: str, values: list[str], known: tuple[str, ...]) -> None:
    for value in values:
        if value not in known:
            raise gan_core.ArgumentError(
                name, value, "must be one of the known", f"use some of {', '.join(known)}"
            )


if __name__ == "__main__":
    _define_flags()
    app.run(main)
