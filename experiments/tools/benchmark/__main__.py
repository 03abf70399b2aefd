"""The engine's step against what a user would write instead, side by side in one run.

    python -m experiments.tools.benchmark --experiment=svhn_dcgan --precision=float32,mixed_bfloat16

All train the same networks with the same batch on noise, each in a process of its own. They take
turns (engine, peer, engine, peer, ...) after a warm-up; what counts is the median over the turns of
a step's time, and of its ratio to the engine's in the same turn. It also measures the largest
matrix product that this machine can do in the same precision and counts the arithmetic of one
update of both networks from a shared pass with plain layers, which gives the share of that ceiling.
It can exceed 100%: padding counts as if it were computed, and upsampled images as if each of their
pixels were. Peers do more arithmetic than is counted where their loops run a network once more
(PyTorch's the discriminator, `train_on_batch` and `fit` the generator). Memory is what a process
holds beyond its imported libraries; peers hold the noise as floats, as people do, the engine as
bytes. PyTorch takes part where it is installed. Several batch sizes, and `dcgan_<resolution>` as
experiments, give a table of cost against size.

`--starts=5` measures something else: what passes between the command and the first step.

It prints the tables and writes them, `benchmark.json` and `benchmark.png`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
from absl import app, flags

import gan_core
from experiments.program.process import run_program
from experiments.settings.parse import check_only_flags
from experiments.settings.settings import read_settings
from experiments.tools.benchmark import contestants, report, starts, turns
from experiments.tools.benchmark.arithmetic import CEILING_SIZE, measure_ceiling, step_flops
from experiments.tools.benchmark.contestants import PEERS, Task
from experiments.tools.benchmark.keras_peers import keras_networks
from experiments.tools.machine import describe_machine

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
    flags.DEFINE_integer(
        "starts", 0, "Show only where the seconds of so many starts go.", lower_bound=0
    )


def main(arguments: list[str]) -> int:
    """Runs the benchmark; returns the exit code."""

    def work() -> None:
        check_only_flags(arguments[1:])
        if flags.FLAGS.starts:
            _show_starts(flags.FLAGS.experiment, flags.FLAGS.starts)
        else:
            _compare(flags.FLAGS)

    return run_program(work)


def _show_starts(experiments: Sequence[str], num_starts: int) -> None:
    print(describe_machine())
    for name in experiments:
        contestants.experiment_named(name)
        print(f"\n{name}, drawn digits, {num_starts} starts on a warm disk", flush=True)
        print(starts.table(starts.measure(name, num_starts)), flush=True)


def _compare(chosen: flags.FlagValues) -> None:
    for name, known in {"peers": PEERS, "precision": _PRECISIONS}.items():
        for value in getattr(chosen, name):
            gan_core.check_known(name, value, known)
    if not chosen.precision:
        raise gan_core.ArgumentError("precision", "", "must name one", "leave it out for both")
    batch_sizes = [_batch_size(text) for text in chosen.global_batch_size]
    ceilings = {precision: measure_ceiling(precision) for precision in chosen.precision}
    speeds = [f"{speed / 1e9:.0f} GFLOP/s in {name}" for name, speed in ceilings.items()]
    command = " ".join(["python -m experiments.tools.benchmark", *sys.argv[1:]])
    heading = (
        f"`{command}`\n\n{describe_machine()}; a product of two matrices of "
        f"{CEILING_SIZE}x{CEILING_SIZE}, the ceiling: {', '.join(speeds)}"
    )
    print(heading, flush=True)
    comparisons = []
    for name in chosen.experiment:
        experiment = contestants.experiment_named(name)
        default = read_settings([], experiment.defaults).global_batch_size
        flops_an_image = step_flops(*keras_networks(experiment), 1)
        keras.backend.clear_session()
        for batch_size in batch_sizes or [default]:
            engines = [
                Task(name, batch_size, precision, chosen.strategy, chosen.virtual_devices)
                for precision in chosen.precision
            ]
            results = turns.measure(
                engines,
                [(peer, task) for task in engines for peer in chosen.peers],
                turns=chosen.turns,
                seconds_a_turn=chosen.seconds_a_turn,
            )
            flops = batch_size * flops_an_image
            comparisons.append(report.Comparison(name, batch_size, flops, results))
            print("\n" + report.table(comparisons[-1], ceilings), flush=True)
            _write(Path(chosen.output), heading, ceilings, comparisons)
    if len(comparisons) > 1:
        print("\n" + report.cost_table(comparisons))
    print(f"\nwritten to {chosen.output}")


def _write(
    folder: Path,
    heading: str,
    ceilings: dict[str, float],
    comparisons: Sequence[report.Comparison],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [heading, *(report.table(comparison, ceilings) for comparison in comparisons)]
    if len(comparisons) > 1:
        texts.append(report.cost_table(comparisons))
    record = {
        "heading": heading,
        "ceilings": ceilings,
        "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
    }
    (folder / "benchmark.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "benchmark.md").write_text("\n\n".join(texts) + "\n")
    (folder / "benchmark.png").write_bytes(report.chart(comparisons))


def _batch_size(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise gan_core.ArgumentError(
            "global_batch_size", text, "must be a number of images", "write 32,128, say"
        )
    return int(text)


def _installed_peers() -> list[str]:
    """All peers whose libraries are here."""
    with_torch = importlib.util.find_spec("torch") is not None
    return [peer for peer in PEERS if with_torch or not peer.startswith("torch")]


if __name__ == "__main__":
    _define_flags()
    app.run(main)
