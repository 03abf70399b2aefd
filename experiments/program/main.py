"""Main program of every experiment: trains, generates, evaluates or prints information."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from experiments.program import launcher, preflight
from experiments.program.experiment import ORIGINAL, Experiment
from experiments.program.process import DONE, import_tensorflow, prepare_process, run_program
from experiments.settings.help import help_text
from experiments.settings.settings import BestFlagfile, Settings, read_settings, with_best
from gan_core.run import startup_clock

_FLAGFILES = Path(__file__).parents[1] / "flagfiles"


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs an experiment with the process's command line, or `arguments`, and exits.

    Exit codes are those of `process`; 130 or 143 if a second signal ends it at once.
    """
    prepare_process()
    sys.exit(run(experiment, sys.argv[1:] if arguments is None else arguments))


def run(experiment: Experiment, arguments: Sequence[str]) -> int:
    """Runs an experiment with a command line; returns the exit code."""
    startup_clock.begin()
    return run_program(lambda: _run(experiment, arguments))


def settings_of(experiment: Experiment, arguments: Sequence[str]) -> Settings | None:
    """The settings that a command line gives to an experiment, see `read_settings`."""
    return read_settings(arguments, *_defaults_of(experiment))


def _run(experiment: Experiment, arguments: Sequence[str]) -> int:
    settings = settings_of(experiment, arguments)
    if settings is None:
        print(_help(experiment))
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


def _help(experiment: Experiment) -> str:
    about = [sys.modules[experiment.build_generator.__module__].__doc__ or ""]
    about += [f"--networks={name}: {each.about}." for name, each in experiment.sisters.items()]
    return help_text(Settings, "\n\n".join(about), with_best({}, *_defaults_of(experiment)))


def _defaults_of(experiment: Experiment) -> tuple[Mapping[str, Any], BestFlagfile]:
    """Its defaults by flag, and its best flagfile by the networks' name."""

    def best_flagfile(networks: str) -> Path:
        words = "best" if networks == ORIGINAL else networks
        return _FLAGFILES / f"{experiment.name}_{words}.flags"

    return {"workdir": f"runs/{experiment.name}", **experiment.defaults}, best_flagfile
