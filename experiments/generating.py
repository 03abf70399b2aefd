"""`--mode=generate`: pictures from a run's newest checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

import gan_core
from experiments import conditional, exit_codes, parts
from experiments.experiment import Experiment
from experiments.settings import Settings
from gan_core import ArgumentError

_GENERATED_AT_ONCE = 64


def run(experiment: Experiment, settings: Settings) -> int:
    """Writes a grid, or single pictures; returns the exit code."""
    output = Path(settings.output or Path(settings.workdir) / "generated.png")
    gan_core.run.check_writable("output", output.parent if output.suffix == ".png" else output)
    folder = Path(settings.workdir) / "checkpoints"
    facts = gan_core.run.latest_facts(folder)
    if facts is None:
        raise ArgumentError(
            "workdir", settings.workdir, "must hold an undamaged checkpoint", "train there again"
        )
    strategy = parts.make_strategy(settings)
    settings, _ = parts.choose_precision(settings)
    # Where the samples of the run came from an average of the weights, so shall these.
    half_life = facts["settings"]["average_half_life_images"]
    settings = dataclasses.replace(settings, average_half_life_images=half_life)
    gan = parts.build_gan(experiment, settings, strategy)
    facts = gan_core.run.Checkpoints(folder, gan).restore_latest(for_training=False)
    pictures = _generate_pictures(gan, settings)
    about = f"{experiment.name}, {facts['data']}, step {facts['step']:,}"
    if output.suffix == ".png":
        gan_core.run.make_folder("output", output.parent)
        grid = gan_core.run.with_caption(gan_core.run.grid(pictures), about)
        output.write_bytes(gan_core.run.png_bytes(grid, about))
    else:
        gan_core.run.make_folder("output", output)
        for number, picture in enumerate(pictures):
            path = output / f"{number:06d}.png"
            path.write_bytes(gan_core.run.png_bytes(picture, about))
    print(f"{len(pictures)} pictures of {about}: {output}")
    return exit_codes.DONE


def _generate_pictures(gan: gan_core.GanStep, settings: Settings) -> np.ndarray:
    """uint8 [num_images, H, W, C], a pure function of the weights and the seed."""
    pictures = []
    for start in range(0, settings.num_images, _GENERATED_AT_ONCE):
        seed = gan_core.stream_seed(settings.seed, "generate", start)
        latents = gan.latents(_GENERATED_AT_ONCE, seed)[: settings.num_images - start]
        conditions = {}
        if settings.num_classes:
            conditions["labels"] = conditional.labels_in_turn(
                start, len(latents), settings.num_classes
            )
        pictures.append(gan_core.data.to_uint8(gan.sample(latents, **conditions), gan.value_range))
    return np.concatenate(pictures)
