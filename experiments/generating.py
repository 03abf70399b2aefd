"""`--mode=generate`: pictures from one of a run's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import gan_core
from experiments import conditional, exit_codes, parts
from experiments.experiment import Experiment
from experiments.settings import Settings


def run(experiment: Experiment, settings: Settings) -> int:
    """Writes a grid, or single pictures; returns the exit code."""
    output = Path(settings.output or Path(settings.workdir) / "generated.png")
    gan_core.run.check_writable("output", output.parent if output.suffix == ".png" else output)
    folder = Path(settings.workdir) / "checkpoints"
    path = parts.find_checkpoint(folder, settings.checkpoint)
    strategy = parts.make_strategy(settings)
    settings, _ = parts.choose_precision(settings)
    settings = parts.as_in_the_run(settings, path)
    gan = parts.build_gan(experiment, settings, strategy)
    facts = gan_core.run.Checkpoints(folder, gan).restore(path, for_training=False)
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
    scored = facts.get("score") is not None and not settings.checkpoint
    which = ", the best of the run" if scored else ""
    print(f"{len(pictures)} pictures of {about}{which}: {output}")
    return exit_codes.DONE


def _generate_pictures(gan: gan_core.GanStep, settings: Settings) -> np.ndarray:
    """uint8 [num_images, H, W, C], a pure function of the weights and the seed."""

    def conditions(start: int, count: int) -> dict[str, Any]:
        if not settings.num_classes:
            return {}
        return {"labels": conditional.labels_in_turn(start, count, settings.num_classes)}

    return gan_core.run.draw_samples(gan, settings.num_images, "generate", conditions)
