"""What every experiment does: one `main` that trains, generates or informs."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import gan_core
from experiments import exit_codes, flags, launcher, parts, run_folder, training
from experiments.experiment import Experiment
from experiments.flags import Settings
from gan_core import ArgumentError

_GENERATED_AT_ONCE = 64


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """Runs an experiment from the command line and exits.

    Exit codes are those of `exit_codes`; 130 or 143 when a second signal ends it at once.
    """
    # Programs of one's own keep what Python does with warnings; this one speaks to people.
    warnings.showwarning = _print_warning
    warnings.simplefilter("always", RuntimeWarning)
    sys.exit(run(experiment, sys.argv[1:] if arguments is None else arguments))


def run(experiment: Experiment, arguments: Sequence[str]) -> int:
    """`main` without the exit: returns the exit code."""
    defaults = {"workdir": f"runs/{experiment.name}", **experiment.defaults}
    try:
        settings = flags.parse(arguments, defaults)
        if settings is None:
            print(f"{sys.modules[experiment.build_generator.__module__].__doc__}\n")
            print(flags.help_text(defaults))
            return exit_codes.DONE
        if settings.workers > 1 and settings.mode == "train" and "TF_CONFIG" not in os.environ:
            module = f"experiments.{experiment.name}"
            return launcher.launch(module, arguments, settings.workers)
        modes = {"train": training.train, "generate": _generate, "info": _info}
        return modes[settings.mode](experiment, settings)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_codes.USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return exit_codes.INTERRUPTED


def _print_warning(message: Warning | str, category: type[Warning], *where: object) -> None:
    prefix = "warning" if issubclass(category, RuntimeWarning) else category.__name__
    print(f"{prefix}: {message}", file=sys.stderr, flush=True)


def _generate(experiment: Experiment, settings: Settings) -> int:
    output = Path(settings.output or Path(settings.workdir) / "generated.png")
    run_folder.check_writable("output", output.parent if output.suffix == ".png" else output)
    folder = Path(settings.workdir) / "checkpoints"
    facts = gan_core.latest_facts(folder)
    if facts is None:
        raise ArgumentError(
            "workdir", settings.workdir, "must hold a checkpoint", "train there first"
        )
    if facts["experiment"] != experiment.name:
        raise ArgumentError(
            "workdir",
            settings.workdir,
            f"holds a run of {facts['experiment']}",
            "run that experiment, or choose another folder",
        )
    strategy = parts.make_strategy(settings)
    settings, _ = parts.choose_precision(settings)
    # Where the samples of the run came from an average of the weights, so shall these.
    half_life = facts["settings"]["average_half_life_images"]
    settings = dataclasses.replace(settings, average_half_life_images=half_life)
    gan = parts.build_gan(experiment, settings, strategy)
    facts = gan_core.Checkpoints(folder, gan).restore_latest(for_training=False)
    pictures = _generate_pictures(gan, settings)
    about = f"{experiment.name}, {facts['data']}, step {facts['step']:,}"
    if output.suffix == ".png":
        run_folder.make_folder("output", output.parent)
        grid = gan_core.with_caption(gan_core.grid(pictures), about)
        output.write_bytes(gan_core.png_bytes(grid, about))
    else:
        run_folder.make_folder("output", output)
        for number, picture in enumerate(pictures):
            path = output / f"{number:06d}.png"
            path.write_bytes(gan_core.png_bytes(picture, about))
    print(f"{len(pictures)} pictures of {about}: {output}")
    return exit_codes.DONE


def _generate_pictures(gan: gan_core.GanStep, settings: Settings) -> np.ndarray:
    """uint8 [num_images, H, W, C], a pure function of the weights and the seed."""
    pictures = []
    for start in range(0, settings.num_images, _GENERATED_AT_ONCE):
        seed = gan_core.stream_seed(settings.seed, "generate", start)
        latents = gan.latents(_GENERATED_AT_ONCE, seed)[: settings.num_images - start]
        pictures.append(gan_core.to_uint8(gan.sample(latents), gan.value_range))
    return np.concatenate(pictures)


def _info(experiment: Experiment, settings: Settings) -> int:
    strategy = parts.make_strategy(settings)
    settings, precision_facts = parts.choose_precision(settings)
    gan = parts.build_gan(experiment, settings, strategy)
    networks = (gan.generator, gan.discriminator)
    for network in networks:
        network.summary()
    totals = [network.count_params() for network in networks]
    trainable = [sum(int(np.prod(v.shape)) for v in n.trainable_variables) for n in networks]
    for name, total, part in zip(
        ("generator", "discriminator", "both"),
        (*totals, sum(totals)),
        (*trainable, sum(trainable)),
        strict=True,
    ):
        print(f"{name}: {total:,} parameters, {part:,} trainable")
    print(f"data: {parts.open_source(settings, parts.image_shape(gan)).facts()}")
    print(f"devices: {parts.describe_strategy(settings, strategy)}, {precision_facts}")
    print(
        f"versions: Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}"
    )
    print(f"settings:\n{settings.as_flagfile()}", end="")
    return exit_codes.DONE
