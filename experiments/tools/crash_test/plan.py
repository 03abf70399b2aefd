"""The run that a crash test trains, and its command lines."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

STEPS_PER_CALL = 2
LOG_EVERY = 4
SAMPLE_EVERY = 8
_NUM_PICTURES = 4


@dataclasses.dataclass(frozen=True)
class Plan:
    """A small run and its disturbances.

    Attributes:
      experiment: Name of the module.
      extra_flags: Flags for it in addition to those of this test.
      total_steps: Steps of the run, a multiple of 8.
      virtual_devices: Numbers of devices, taken in turn by one start after the other.
      signal_name: `KILL`, or `TERM`, on which a run saves and ends by itself.
      seed: Seed of the moments.
      relative_tolerance: Largest relative difference of a network's state between numbers of
        devices, which sum in another order; on one number it is 0. Dropout draws other numbers on
        other devices: networks with it cannot be compared.
    """

    experiment: str = "fashion_mnist_gan"
    extra_flags: tuple[str, ...] = ("--global_batch_size=4",)
    total_steps: int = 24
    virtual_devices: tuple[int, ...] = (1,)
    signal_name: str = "KILL"
    seed: int = 0
    relative_tolerance: float = 1e-4

    @property
    def is_exact(self) -> bool:
        """True if all starts have the same number of devices: then not a bit may differ."""
        return len(set(self.virtual_devices)) == 1

    @property
    def last_checkpoint(self) -> str:
        """Its name."""
        return f"step_{self.total_steps:07d}"

    def train(self, workdir: Path, start: int = 0) -> list[str]:
        """The command line of the start of that number."""
        devices = self.virtual_devices[start % len(self.virtual_devices)]
        return [
            f"--flagfile={os.devnull}",  # its own defaults: not what is best for other data
            "--dataset=drawn_digits",
            "--split=test",
            "--strategy=auto",
            f"--virtual_devices={devices}",
            f"--workdir={workdir}",
            f"--cache_dir={workdir.with_name(f'{workdir.name}.cache')}",
            f"--total_steps={self.total_steps}",
            f"--steps_per_call={STEPS_PER_CALL}",
            f"--log_every_steps={LOG_EVERY}",
            f"--sample_every_steps={SAMPLE_EVERY}",
            f"--checkpoint_every_steps={STEPS_PER_CALL}",
            f"--evaluate_every_steps={SAMPLE_EVERY}",
            "--evaluation_time_share=1",  # each is done, however long it takes
            "--evaluation_samples=40",
            "--extractor=random_convolutions",
            # Statistics of a replica's part of the batch would differ on other numbers of devices.
            *([] if self.is_exact else ["--allow_changes", "--batch_norm=synchronized"]),
            *self.extra_flags,
        ]

    def generate(self, workdir: Path, output: Path) -> list[str]:
        """The command line that generates some pictures with the newest checkpoint."""
        return [
            *("--mode=generate", f"--workdir={workdir}", "--checkpoint=newest", "--seed=1"),
            *(f"--num_images={_NUM_PICTURES}", f"--output={output}"),
        ]
