"""Times a step of the engine against what a user would write instead, in turn in one run.

    python -m experiments.tools.benchmark --experiment=svhn_dcgan --precision=float32,mixed_bfloat16

All train the same networks with the same batches of noise, each in its own process. They take turns
(engine, peer, engine, peer, ...) after a warm-up. The results are medians over the turns: of a
step's time, and of its ratio to the engine's in the same turn. The program also measures the
largest matrix product that this machine can compute in the same precision, and counts the
arithmetic of one update of both networks from a shared pass with plain layers, which gives the
share of that ceiling. It can exceed 100%: padding counts as computed, and so does each pixel of an
upsampled image. Peers do more arithmetic than is counted if their loops run a network once more
(PyTorch the discriminator, `train_on_batch` and `fit` the generator). Memory is that of a process
beyond its imported libraries; peers hold the noise as floats, as users do, the engine as bytes.
PyTorch takes part if it is installed. Several batch sizes, and `dcgan_<resolution>` as experiments,
give a table of cost against size.

`--starts=5` measures the parts of the time between the command and the first step instead.

The tables are printed and written, with `benchmark.json` and `benchmark.png`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from etils import epy

import gan_core
from experiments.program.process import Command
from experiments.settings.flag import Options, flag
from experiments.settings.settings import read_settings
from experiments.tools.benchmark.contestants import PEERS, Task, experiment_named
from experiments.tools.machine import describe_machine

with epy.lazy_imports():  # of what needs Keras
    import keras

    from experiments.tools.benchmark import arithmetic, keras_peers, report, starts, turns

_PRECISIONS = ("float32", "mixed_bfloat16")


def _installed_peers() -> tuple[str, ...]:
    """The peers whose libraries are installed."""
    with_torch = importlib.util.find_spec("torch") is not None
    return tuple(peer for peer in PEERS if with_torch or not peer.startswith("torch"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """Flags of the benchmark."""

    experiment: tuple[str, ...] = flag(("svhn_dcgan",))
    """Names of experiments, or dcgan_<resolution>."""
    peers: tuple[str, ...] = flag(_installed_peers(), choices=PEERS)
    """Peers to compare with; none if empty."""
    precision: tuple[str, ...] = flag(_PRECISIONS, choices=_PRECISIONS)
    """Dtype policies."""
    global_batch_size: tuple[int, ...] = flag((), at_least=1)
    """Batch sizes; that of the experiment if empty."""
    strategy: str = flag("none", choices=("none", "one_device", "mirrored"))
    """Distribution strategy of the engine."""
    virtual_devices: int = flag(1, at_least=1)
    """Devices into which the CPU is split."""
    turns: int = flag(10, at_least=1)
    """Turns of each."""
    seconds_a_turn: float = flag(2.0)
    """Seconds of a turn of the engine."""
    output: str = flag("runs/benchmark", is_path=True)
    """Folder of the table, JSON and chart."""
    starts: int = flag(0)
    """Measure only the parts of so many starts."""


def _benchmark(options: BenchmarkOptions) -> None:
    if options.starts:
        _show_starts(options.experiment, options.starts)
    else:
        _compare(options)


def _show_starts(experiments: Sequence[str], num_starts: int) -> None:
    print(describe_machine())
    for name in experiments:
        experiment_named(name)
        print(f"\n{name}, drawn digits, {num_starts} starts on a warm disk", flush=True)
        print(starts.table(starts.measure(name, num_starts)), flush=True)


def _compare(options: BenchmarkOptions) -> None:
    if not options.precision:
        raise gan_core.ArgumentError("precision", "", "must name one", "leave it out for both")
    ceilings = {precision: arithmetic.measure_ceiling(precision) for precision in options.precision}
    speeds = [f"{speed / 1e9:.0f} GFLOP/s in {name}" for name, speed in ceilings.items()]
    command = " ".join(["python -m experiments.tools.benchmark", *sys.argv[1:]])
    size = arithmetic.CEILING_SIZE
    heading = (
        f"`{command}`\n\n{describe_machine()}; a product of two matrices of "
        f"{size}x{size}, the ceiling: {', '.join(speeds)}"
    )
    print(heading, flush=True)
    comparisons = []
    for name in options.experiment:
        experiment = experiment_named(name)
        default = read_settings([], experiment.defaults).global_batch_size
        networks = keras_peers.keras_networks(experiment)
        flops_an_image = arithmetic.step_flops(*networks, 1)
        keras.backend.clear_session()
        for batch_size in options.global_batch_size or [default]:
            engines = [
                Task(name, batch_size, precision, options.strategy, options.virtual_devices)
                for precision in options.precision
            ]
            results = turns.measure(
                engines,
                [(peer, task) for task in engines for peer in options.peers],
                turns=options.turns,
                seconds_a_turn=options.seconds_a_turn,
            )
            flops = batch_size * flops_an_image
            comparisons.append(report.Comparison(name, batch_size, flops, results))
            print("\n" + report.table(comparisons[-1], ceilings), flush=True)
            _write(Path(options.output), heading, ceilings, comparisons)
    if len(comparisons) > 1:
        print("\n" + report.cost_table(comparisons))
    print(f"\nwritten to {options.output}")


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


COMMAND = Command(BenchmarkOptions, _benchmark, __doc__)

if __name__ == "__main__":
    COMMAND.main()
