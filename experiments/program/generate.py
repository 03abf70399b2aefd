"""`--mode=generate`: pictures from one of a run's checkpoints."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import gan_core
from experiments.program import build, preflight
from experiments.program.experiment import Experiment
from experiments.program.process import CANNOT_WRITE, DONE
from experiments.settings import conditional
from experiments.settings.run import choose_checkpoint
from experiments.settings.settings import Settings
from gan_core import ArgumentError

_MOST_PIXELS = 2**28


def run(experiment: Experiment, settings: Settings) -> int:
    """Writes a grid, or single pictures; returns the exit code."""
    output = preflight.output_of_generate(settings)
    checkpoint = choose_checkpoint(settings)
    settings, gan = build.build_for_samples(experiment, settings, checkpoint)
    checkpoints = gan_core.run.Checkpoints(checkpoint.parent, gan)
    facts = checkpoints.restore(checkpoint, for_training=False)
    about = f"{experiment.name}, {facts['data']}, step {facts['step']:,}"
    try:
        _write(output, gan, settings, about)
    except OSError as error:
        print(f"error: cannot write {output} ({error}); make room", file=sys.stderr)
        return CANNOT_WRITE
    is_best = facts.get("score") is not None and not settings.checkpoint
    words = ", the best of the run" if is_best else ""
    print(f"{settings.num_images:,} pictures of {about}{words}: {output}")
    return DONE


def _write(output: Path, gan: gan_core.Gan, settings: Settings, about: str) -> None:
    batches = _make_batches(gan, settings)
    if output.suffix.lower() != ".png":
        gan_core.run.make_folder("output", output)
        _check_no_others(output, settings.num_images)
        for number, picture in enumerate(picture for batch in batches for picture in batch):
            _write_complete(output / f"{number:06d}.png", gan_core.run.png_bytes(picture, about))
        return
    pixels = settings.num_images * math.prod(build.image_shape(gan)[:2])
    if pixels > _MOST_PIXELS:
        rule = f"are too many for one picture of {_MOST_PIXELS:,} pixels at most"
        raise ArgumentError("num_images", settings.num_images, rule, "give --output=FOLDER")
    gan_core.run.make_folder("output", output.parent)
    grid = gan_core.run.with_caption(gan_core.run.grid(np.concatenate(list(batches))), about)
    gan_core.run.write_durably(output, gan_core.run.png_bytes(grid, about))


def _check_no_others(folder: Path, num_images: int) -> None:
    """Refuses a folder that would keep pictures of an earlier call beside the new ones."""
    pattern = re.compile(r"\d{6,}\.png")
    numbered = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    others = sorted(path.name for path in numbered if int(path.stem) >= num_images)
    if others:
        rule = f"holds more than {num_images} pictures of an earlier call ({others[-1]})"
        raise ArgumentError("output", folder, rule, "remove them, or name another folder")


def _write_complete(path: Path, data: bytes) -> None:
    """Writes a complete file or none, without waiting for the disk."""
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _make_batches(gan: gan_core.Gan, settings: Settings) -> Iterator[np.ndarray]:
    """uint8 [B, H, W, C], num_images in all: a pure function of the weights and the seed."""

    def conditions(start: int, count: int) -> dict[str, Any]:
        if not settings.num_classes:
            return {}
        return {"labels": conditional.cycled_labels(start, count, settings.num_classes)}

    with tqdm(
        total=settings.num_images, unit=" pictures", disable=None, delay=2, leave=False
    ) as bar:
        for batch in gan_core.run.generate_sample_batches(
            gan, settings.num_images, "generate", conditions
        ):
            yield batch
            bar.update(len(batch))
