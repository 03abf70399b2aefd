"""A long run holds no more memory and no more files at its end than after its beginning.

`GAN_CORE_SOAK_STEPS=100000` makes it longer.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from sizes import size

import gan_core

ROOT = Path(__file__).parent.parent
STEPS = int(os.environ.get("GAN_CORE_SOAK_STEPS", size(4000, 12000)))
LOG_EVERY = 50
OTHERS_EVERY = 500
pytestmark = pytest.mark.slow


def run(workdir):
    """Trains a small network with all outputs on; open files as they were seen meanwhile."""
    command = [
        *(sys.executable, "-m", "experiments.fashion_mnist_gan", f"--flagfile={os.devnull}"),
        *("--dataset=drawn_digits", "--split=test", f"--workdir={workdir}"),
        *(f"--cache_dir={workdir.parent}/cache", f"--total_steps={STEPS}", "--steps_per_call=10"),
        *("--global_batch_size=8", f"--log_every_steps={LOG_EVERY}", "--evaluation_time_share=1"),
        *(f"--{name}_every_steps={OTHERS_EVERY}" for name in ("sample", "checkpoint", "evaluate")),
        *("--evaluation_samples=100", "--extractor=random_convolutions"),
    ]
    open_files = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            newest = gan_core.run.step_paths(workdir / "checkpoints")
            if newest and gan_core.run.step_of(newest[-1]) >= STEPS // 4:
                with_files = psutil.Process(process.pid)
                try:
                    open_files.append((len(with_files.open_files()), with_files.num_threads()))
                except psutil.NoSuchProcess:
                    break
            time.sleep(0.5)
    assert process.returncode == 0
    return open_files


def test_memory_files_and_threads_do_not_grow(tmp_path):
    workdir = tmp_path / "run"
    seen = run(workdir)
    lines = gan_core.run.read_metrics(workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY))
    memory = [line["memory_gib"] for line in lines]
    quarter = len(memory) // 4
    early = statistics.median(memory[quarter : 2 * quarter])
    late = statistics.median(memory[-quarter:])
    assert late < 1.02 * early, (early, late)
    files, threads = zip(*seen, strict=True)
    half = len(files) // 2
    for counts in (files, threads):
        assert statistics.median(counts[half:]) <= statistics.median(counts[:half])
        assert max(counts[half:]) <= max(counts[:half]) + 2  # a look may fall into a write
    assert sum("evaluation/best" in line for line in lines) == STEPS // OTHERS_EVERY
    early_grids = {0, 10, 25, 50, 100}
    grids = {gan_core.run.step_of(p) for p in gan_core.run.step_paths(workdir / "samples", ".png")}
    assert grids - early_grids == set(range(OTHERS_EVERY, STEPS + 1, OTHERS_EVERY))
    # A line has each value once: it is no longer at the end than at the beginning.
    sizes = [len(line) for line in (workdir / "metrics.jsonl").read_bytes().splitlines()]
    assert max(sizes[-quarter:]) < 1.2 * max(sizes[:quarter])
    assert len(list((workdir / "checkpoints").iterdir())) <= 4
