"""What every experiment does: one `main` that trains, generates, evaluates or informs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.program import launcher, preflight
from experiments.program.experiment import ORIGINAL, Experiment
from experiments.program.process import DONE, import_tensorflow, prepare_process, run_program
from experiments.settings.parse import help_text
from experiments.settings.settings import BestFlagfile, Settings, read_settings, with_best
from gan_core.run import startup_clock

_FLAGFILES = Path(__file__).parents[1] / "flagfiles"


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """Runs an experiment from the command line and exits.

    Exit codes are those of `process`; 130 or 143 if a second signal ends it at once.
    """
    prepare_process()
    sys.exit(run(experiment, sys.argv[1:] if arguments is None else arguments))


def run(experiment: Experiment, arguments: Sequence[str]) -> int:
    """`main` without the exit: returns the exit code."""

    def work() -> int:
        settings = settings_of(experiment, arguments)
        if settings is None:
            lines = [sys.modules[experiment.build_generator.__module__].__doc__]
            lines += [f"--networks={name}: {s.about}." for name, s in experiment.sisters.items()]
            defaults = with_best({}, *_defaults_of(experiment))
            print(help_text(Settings, "\n\n".join(lines), defaults))
            return DONE
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
    return run_program(work)


def settings_of(experiment: Experiment, arguments: Sequence[str]) -> Settings | None:
    """What a command line means to an experiment, see `read_settings`."""
    return read_settings(arguments, *_defaults_of(experiment))


def _defaults_of(experiment: Experiment) -> tuple[Mapping[str, Any], BestFlagfile]:
    """Its defaults, and its best flagfile by the networks' name."""

    def best_flagfile(networks: str) -> Path:
        words = "best" if networks == ORIGINAL else networks
        return _FLAGFILES / f"{experiment.name}_{words}.flags"

    return {"workdir": f"runs/{experiment.name}", **experiment.defaults}, best_flagfile
