"""The folder of a run: whether it can be written, and the film of its samples."""

from __future__ import annotations

import os
from pathlib import Path

from etils import epy

import gan_core
from gan_core import ArgumentError

with epy.lazy_imports():
    import imageio.v3 as imageio
    import numpy as np

_MAXIMUM_GIF_FRAMES = 120


def check_writable(name: str, folder: Path) -> None:
    """Raises `ArgumentError` where a folder cannot be made or written to; writes nothing."""
    existing = nearest_existing(folder)
    if not existing.is_dir():
        raise ArgumentError(name, folder, f"must be a folder, but {existing} is a file", "move it")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArgumentError(
            name, folder, f"must be writable, but {existing} is not", "choose another"
        )


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    existing = folder.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    return existing


def make_folder(name: str, folder: Path) -> None:
    """Makes a folder and those above it; `name` is the flag that named it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(name, folder, f"cannot be made: {error}", "choose another") from error


def write_gif(samples: Path, path: Path) -> None:
    """All grids as one film; of more than 120 the most even selection, the last included."""
    paths = gan_core.run.step_paths(samples, ".png")
    if len(paths) > _MAXIMUM_GIF_FRAMES:
        chosen = np.linspace(0, len(paths) - 1, _MAXIMUM_GIF_FRAMES).round().astype(int)
        paths = [paths[number] for number in chosen]
    gan_core.run.write_durably(
        path, gan_core.run.gif_bytes([imageio.imread(frame) for frame in paths])
    )


def drop_samples_after(step: int, samples: Path) -> None:
    """Removes grids of later steps, which a run that goes on from `step` will draw again."""
    for path in gan_core.run.step_paths(samples, ".png"):
        if gan_core.run.step_of(path) > step:
            path.unlink()
