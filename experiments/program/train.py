"""`--mode=train`: makes a run from the settings, and an exit code from its outcome."""

from __future__ import annotations

import functools
from pathlib import Path

import tensorflow as tf

import gan_core
from experiments.program import build, preflight
from experiments.program.experiment import Experiment
from experiments.program.process import DONE, EXIT_CODES
from experiments.settings import conditional
from experiments.settings.devices import choose_precision, describe_strategy, make_strategy
from experiments.settings.evaluation import make_evaluation
from experiments.settings.optimizers import set_learning_rates
from experiments.settings.run import make_plan, make_schedule
from experiments.settings.settings import EFFECTIVE_FLAGS, Settings
from gan_core.run import startup_clock


def run(experiment: Experiment, settings: Settings) -> int:
    """Trains, or resumes the run in the workdir; returns the exit code."""
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy(settings, settings.global_batch_size)
    settings, precision_facts = choose_precision(settings)
    gan = build.build_gan(experiment, settings, strategy)
    startup_clock.lap("networks")
    source = build.open_source(settings, build.image_shape(gan))
    startup_clock.lap("data")
    training = _make_run(experiment, settings, gan, source)
    training.say(
        f"{experiment.name} on {source.describe()} (limit {settings.memory_limit_gib:g} GiB)"
    )
    training.say(f"{describe_strategy(settings, strategy)}, {precision_facts}")
    training.say(f"disk: {build.describe_disk_use(gan, settings)}")
    if settings.dry_run:
        training.check()
        training.say("dry run: everything fits; nothing was trained or written")
        return DONE
    return EXIT_CODES[training.train().ending]


def _make_run(
    experiment: Experiment,
    settings: Settings,
    gan: gan_core.Gan,
    source: gan_core.data.ImageSource,
) -> gan_core.run.Run:
    flagfile = Path(settings.workdir) / EFFECTIVE_FLAGS
    program = gan_core.run.Program(
        title=experiment.name,
        facts={"experiment": experiment.name},
        settings=settings.as_dict(),
        workers_agree_on=settings.shared_by_workers(),
        check=lambda identity, facts: preflight.check_same_run(identity, facts, settings),
        make_picture=conditional.make_picture(gan, settings.num_classes),
        on_restore=lambda: set_learning_rates(gan, settings),
        on_start=lambda: gan_core.run.write_durably(
            flagfile, settings.as_flagfile().encode("utf-8")
        ),
    )
    image_shape = build.image_shape(gan)
    make_samples = functools.partial(build.make_samples, gan, settings, source)
    return gan_core.run.Run(
        gan,
        gan_core.run.SourceData(source, image_shape, settings.flip),
        settings.workdir,
        make_plan(settings),
        schedule=make_schedule(settings.discriminator_updates),
        evaluation=make_evaluation(settings, source, image_shape, make_samples),
        program=program,
    )
