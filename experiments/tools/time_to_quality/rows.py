"""The tables: the runs of each, their minutes, and the values that are compared."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from experiments.tools.timed_runs import WITHOUT_END, TimedRun

_JUDGED = ("--evaluation_samples=5000", "--evaluation_time_share=0.3")
_JUDGED_OFTEN = ("--log_every_steps=50", "--evaluate_every_steps=50")
"""Flags for the flagfiles of the original settings: those of folders do not evaluate."""
_KEEPS_SHAPES = (
    "--generator_learning_rate=3e-4",
    "--discriminator_learning_rate=3e-4",
    "--lecam_weight=0.03",
)
"""Flags for fully labelled images: with the flagfile alone, each digit ends with one shape."""
FRECHET, KERNEL = "frechet_distance", "kernel_distance"
DONE = "done"
"""The file of a finished peer, which holds its minutes of training."""
OWN_NETWORKS, TUTORIAL_NETWORKS = "own networks", "tutorial's networks"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: one way to train.

    Attributes:
      name: Name for people and for its pictures.
      experiment: Name of the module.
      flagfile: Name in `experiments/flagfiles`; empty for a peer.
      seeds: Number of seeds.
      flags: Flags that override the flagfile's.
      peer: Networks of a peer, see `peers`; empty for an experiment.
    """

    name: str
    experiment: str
    flagfile: str = ""
    seeds: int = 1
    flags: tuple[str, ...] = ()
    peer: str = ""

    def run(self, table: Table, seed: int, places: Places) -> TimedRun:
        """Its run with one seed."""
        run = self._run(table, seed, places)
        # Other settings make another run: a folder of older ones stays as it is.
        digest = hashlib.sha256("\n".join(run.settings).encode()).hexdigest()[:6]
        return dataclasses.replace(run, workdir=Path(f"{run.workdir}_{digest}"))

    def _run(self, table: Table, seed: int, places: Places) -> TimedRun:
        folder = places.workdir / table.name / f"{self.name}_seed_{seed}"
        data = table.data_flags(places)
        if self.peer:
            flags = (*_JUDGED, *data)
            return PeerRun(self.experiment, flags, folder, table.minutes, self.peer, seed)
        own = (f"--flagfile={Path('experiments/flagfiles') / self.flagfile}", f"--seed={seed}")
        often = _JUDGED_OFTEN if self.flagfile == f"{self.experiment}.flags" else ()
        flags = (*own, *_JUDGED, WITHOUT_END, *often, *data, *self.flags)
        return TimedRun(self.experiment, flags, folder, table.minutes)


@dataclasses.dataclass(frozen=True)
class PeerRun(TimedRun):
    """A run of the loop that a user would write instead.

    Attributes:
      peer: Its networks.
      seed: Seed of the weights and the order of the images.
    """

    peer: str = ""
    seed: int = 0

    @property
    def settings(self) -> list[str]:
        """The settings of a run, with the peer."""
        experiment, *flags = super().settings
        return [experiment, self.peer, f"--seed={self.seed}", *flags]

    def command(self) -> list[str]:
        """The command that trains it from the start."""
        program = [sys.executable, "-m", "experiments.tools.time_to_quality.peers"]
        return [
            *program,
            *(f"--experiment={self.experiment}", f"--peer={self.peer}", f"--seed={self.seed}"),
            *(f"--minutes={self.minutes:g}", f"--workdir={self.workdir}", *self.flags),
        ]

    def minutes_done(self) -> float:
        """All minutes or none: a peer saves no checkpoints."""
        done = self.workdir / DONE
        return float(done.read_text(encoding="utf-8")) if done.exists() else 0.0


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders of runs and data.

    Attributes:
      workdir: Folder of all runs.
      data_dir: The TensorFlow Datasets directory; empty for its default.
      pictures: Folder of pictures for the experiments on folders; empty without one.
    """

    workdir: Path
    data_dir: str = ""
    pictures: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, in which the first row is compared with the others.

    Attributes:
      name: Name of the table in `--tables`.
      minutes: Minutes of training of each row.
      rows: The rows; the first is compared with the others.
      dataset: `folder` for the folder of pictures.
      split: Split of the dataset; that of its flagfiles if empty.
      measure: Name of the compared value of the judge; smaller is better.
    """

    name: str
    minutes: float
    rows: tuple[Row, ...]
    dataset: str
    split: str = ""
    measure: str = FRECHET

    def picture_of(self, row: Row) -> str:
        """Name of the picture of a row's samples."""
        return row.name if row.name.startswith(self.name) else f"{self.name}_{row.name}"

    @property
    def data(self) -> str:
        """Its data, for people."""
        name = "a folder of pictures" if self.dataset == "folder" else self.dataset
        return f"{name} ({self.split})" if self.split else name

    def data_flags(self, places: Places) -> tuple[str, ...]:
        """Its data as flags."""
        if self.dataset == "folder":
            return ("--dataset=folder", f"--data_dir={places.pictures}")
        found = [f"--dataset={self.dataset}"]
        found += [f"--data_dir={places.data_dir}"] * bool(places.data_dir)
        found += [f"--split={self.split}"] * bool(self.split)
        return tuple(found)


def _rows(
    experiment: str,
    seeds: int,
    networks: str = "",
    flags: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Row, ...]:
    """An experiment's sister networks, if it has some; its best settings; the original ones.

    `flags` has, of a row's name, the flags over its flagfile's.
    """
    flags = flags or {}
    names = [f"{experiment}_{networks}", f"{experiment}_best", experiment]
    if not networks:
        del names[0]
    assert set(flags) <= set(names), f"flags of rows that are not there: {set(flags) - set(names)}"
    counts = [seeds] + [1] * len(names)
    return tuple(
        Row(name, experiment, f"{name}.flags", count, flags.get(name, ()))
        for name, count in zip(names, counts, strict=False)
    )


TABLES = (
    Table(
        "fashion_mnist",
        8,
        (
            *_rows("fashion_mnist_dcgan", 3, "no_dropout"),
            Row("loop", "fashion_mnist_dcgan", peer=OWN_NETWORKS),
            Row("tutorial", "fashion_mnist_dcgan", peer=TUTORIAL_NETWORKS),
        ),
        "fashion_mnist",
    ),
    Table("mnist", 8, _rows("mnist_dcgan", 3, "strided"), "mnist"),
    Table(
        "svhn", 15, _rows("svhn_dcgan", 2, "no_batch_norm"), "svhn_cropped", "train+extra", KERNEL
    ),
    Table(
        "drawn_digits",
        15,
        _rows("svhn_dcgan", 2, "no_batch_norm", {"svhn_dcgan_best": _KEEPS_SHAPES}),
        "drawn_digits",
    ),
    Table("dog_gan", 20, _rows("dog_gan", 1, "leaky"), "folder"),
    Table("image_folder_gan", 20, _rows("image_folder_gan", 1, "leaky"), "folder"),
    Table(
        "rock_paper_scissors",
        40,
        # 5,000 samples of 256x256 pixels take a minute.
        _rows(
            "rock_paper_scissors_dcgan",
            1,
            "deep",
            {"rock_paper_scissors_dcgan": ("--evaluate_every_steps=100",)},
        ),
        "rock_paper_scissors",
    ),
    Table("fashion_mnist_gan", 2, _rows("fashion_mnist_gan", 1), "fashion_mnist"),
)
