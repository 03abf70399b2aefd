"""What every experiment does: one `main` that trains, generates, evaluates or informs."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.program import exit_codes, launcher, preflight, standard_streams
from experiments.program.experiment import ORIGINAL, Experiment
from experiments.program.tensorflow_import import import_tensorflow
from experiments.settings import parse as flags
from experiments.settings.settings import Settings
from gan_core.run import startup_clock

_FLAGFILES = Path(__file__).parents[1] / "flagfiles"


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """Runs an experiment from the command line and exits.

    Exit codes are those of `exit_codes`; 130 or 143 when a second signal ends it at once.
    """
    standard_streams.make_safe()
    # Programs of one's own keep what Python does with warnings; this one speaks to people.
    warnings.showwarning = _print_warning
    warnings.simplefilter("always", RuntimeWarning)
    sys.exit(run(experiment, sys.argv[1:] if arguments is None else arguments))


def run(experiment: Experiment, arguments: Sequence[str]) -> int:
    """`main` without the exit: returns the exit code."""

    def work() -> int:
        settings = settings_of(experiment, arguments)
        if settings is None:
            print(f"{sys.modules[experiment.build_generator.__module__].__doc__}\n")
            for name, sister in experiment.sisters.items():
                print(f"With --networks={name}: {sister.about}.\n")
            print(flags.help_text(flags.with_best([], *_defaults_of(experiment))))
            return exit_codes.DONE
        chosen = experiment.with_networks(settings.networks, settings.image_size)
        preflight.check(chosen, settings)
        if settings.workers > 1 and settings.mode == "train" and "TF_CONFIG" not in os.environ:
            module = f"experiments.{chosen.name}"
            return launcher.launch(module, arguments, settings.workers)
        # Nothing above needs TensorFlow, whose import takes seconds; everything below does.
        startup_clock.lap("checks")
        import_tensorflow()
        startup_clock.lap("TensorFlow")
        mode = importlib.import_module(f"experiments.program.{settings.mode}")
        return mode.run(chosen, settings)

    startup_clock.begin()
    return exit_codes.exit_code_of(work)


def settings_of(experiment: Experiment, arguments: Sequence[str]) -> Settings | None:
    """What a command line means to an experiment, see `flags.parse`."""
    return flags.parse(arguments, *_defaults_of(experiment))


def _defaults_of(experiment: Experiment) -> tuple[Mapping[str, Any], flags.BestFlagfile]:
    """Its defaults, and its best flagfile by the networks' name."""

    def best_flagfile(networks: str) -> Path:
        words = "best" if networks == ORIGINAL else networks
        return _FLAGFILES / f"{experiment.name}_{words}.flags"

    return {"workdir": f"runs/{experiment.name}", **experiment.defaults}, best_flagfile


def _print_warning(message: Warning | str, category: type[Warning], *where: object) -> None:
    prefix = "warning" if issubclass(category, RuntimeWarning) else category.__name__
    print(f"{prefix}: {message}", file=sys.stderr, flush=True)
