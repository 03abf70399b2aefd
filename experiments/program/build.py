"""From settings to the engine's parts: strategy, data, networks."""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

import gan_core
from experiments.program.experiment import Experiment
from experiments.settings import conditional
from experiments.settings.setting_rules import ADAPTIVE
from experiments.settings.settings import Settings
from gan_core import ArgumentError

_MOST_PIXELS_HIGH = 4096
"""Of a grid by class: all its images are made at once, and a film of them is in memory."""


def make_strategy(settings: Settings) -> tf.distribute.Strategy:
    """The strategy that `--strategy` and `--virtual_devices` name; the batch divides among it."""
    if settings.virtual_devices > 1:
        gan_core.run.make_virtual_devices(settings.virtual_devices)
    name = "multi_worker" if settings.workers > 1 else settings.strategy
    if name == "multi_worker":
        gan_core.run.wait_for_workers(settings.worker_timeout_secs)
    strategy = gan_core.make_strategy(name)
    gan_core.run.per_replica_batch_size(settings.global_batch_size, strategy)
    return strategy


def describe_strategy(settings: Settings, strategy: tf.distribute.Strategy) -> str:
    """The strategy and its devices, and why it was chosen."""
    words = gan_core.run.describe_strategy(strategy)
    if settings.strategy != "auto" or settings.workers > 1:
        return f"{words} (as asked for)"
    gpus = len(tf.config.list_logical_devices("GPU"))
    cpus = len(tf.config.list_logical_devices("CPU"))
    found = f"{gpus or 'no'} GPU{'' if gpus == 1 else 's'}"
    return f"{words} (auto: {found}{f', {cpus} virtual CPUs' if not gpus and cpus > 1 else ''})"


def choose_precision(settings: Settings) -> tuple[Settings, str]:
    """Settings with `auto` replaced by what it stands for here, and a few words on it."""
    policy, reason = gan_core.fast.choose_precision(settings.precision)
    return dataclasses.replace(settings, precision=policy), f"{policy} ({reason})"


def open_source(settings: Settings, image_shape: tuple[int, int, int]) -> gan_core.data.ImageSource:
    """The images that `--dataset` names, fitted to the network's size, enough for one batch."""
    source = read_source(settings, image_shape)
    if len(source.images) < settings.global_batch_size:
        raise ArgumentError(
            "dataset",
            source.name,
            f"must hold a batch of {settings.global_batch_size} usable images at least, but has "
            f"{len(source.images)}",
            "add images, or use a smaller --global_batch_size",
        )
    if settings.num_classes:
        conditional.check_labels(source, settings.num_classes)
    return source


def read_source(settings: Settings, image_shape: tuple[int, int, int]) -> gan_core.data.ImageSource:
    """The images that `--dataset` names, fitted to a size."""
    fitting = {"image_shape": image_shape, "crop": settings.crop}
    storage = {
        "cache_dir": Path(settings.cache_dir),
        "memory_limit_bytes": int(settings.memory_limit_gib * 2**30),
    }
    if settings.dataset == "drawn_digits":
        return gan_core.data.drawn_digits(settings.split, **fitting, **storage)
    is_file = settings.dataset.endswith(gan_core.data.ARRAY_FILE_ENDINGS)
    if (is_file or settings.dataset == "folder") and settings.split != Settings.split:
        raise ArgumentError("split", settings.split, "is for datasets with splits", "leave it out")
    if settings.dataset == "folder":
        if not settings.data_dir:
            raise ArgumentError(
                "data_dir", "empty", "must name the folder of pictures", "give --data_dir=PATH"
            )
        folder, bad_images = Path(settings.data_dir), settings.bad_images
        return gan_core.data.folder_images(folder, bad_images=bad_images, **fitting, **storage)
    if is_file:
        return gan_core.data.array_file_images(Path(settings.dataset), **fitting, **storage)
    split, data_dir = settings.split, settings.data_dir or None
    return gan_core.data.tfds_images(
        settings.dataset, split=split, data_dir=data_dir, **fitting, **storage
    )


def build_gan(
    experiment: Experiment, settings: Settings, strategy: tf.distribute.Strategy
) -> gan_core.Gan:
    """Both networks and their optimizers, under the strategy."""
    if settings.jit_compile and not tf.config.list_physical_devices("GPU"):
        warnings.warn(
            "--jit_compile without a GPU: XLA's convolutions are many times slower on CPUs",
            RuntimeWarning,
            stacklevel=2,
        )
    keras.config.set_dtype_policy(settings.precision)
    keras.utils.set_random_seed(settings.seed)
    with strategy.scope():
        if settings.num_classes:
            generator, discriminator, *inner = conditional.build_networks(
                experiment, settings.num_classes
            )
        else:
            generator = experiment.build_generator(experiment.latents.size)
            discriminator = experiment.build_discriminator()
            inner = [generator, discriminator]
        if settings.batch_norm == "synchronized" and strategy.num_replicas_in_sync > 1:
            for network in inner:
                gan_core.fast.synchronize_batch_normalization(network)
        return gan_core.Gan(
            generator=generator,
            discriminator=discriminator,
            generator_optimizer=_make_optimizer(settings, settings.generator_learning_rate, 1),
            discriminator_optimizer=_make_optimizer(
                settings, settings.discriminator_learning_rate, settings.discriminator_updates
            ),
            latents=experiment.latents,
            global_batch_size=settings.global_batch_size,
            game=_make_game(settings),
            average_half_life_images=settings.average_half_life_images or None,
            value_range=experiment.value_range,
            seed=settings.seed,
            jit_compile=settings.jit_compile,
        )


def find_checkpoint(folder: Path, which: str) -> Path:
    """The checkpoint that `--checkpoint` names; without a name the best, or else the newest."""
    if which:
        return gan_core.run.find_checkpoint(folder, which)
    best = gan_core.run.best_of(gan_core.run.step_paths(folder))
    if best:
        return best
    newest = gan_core.run.newest_undamaged(folder, rename_damaged=False)
    if newest is None:
        raise ArgumentError(
            "workdir", folder.parent, "must hold an undamaged checkpoint", "train there again"
        )
    return newest


def as_in_the_run(settings: Settings, checkpoint: Path) -> Settings:
    """Where the samples of a run came from an average of the weights, so shall others."""
    half_life = gan_core.run.read_facts(checkpoint)["settings"]["average_half_life_images"]
    return dataclasses.replace(settings, average_half_life_images=half_life)


def make_batches(
    gan: gan_core.Gan,
    source: gan_core.data.ImageSource,
    settings: Settings,
    strategy: tf.distribute.Strategy,
) -> Iterator[gan_core.data.Batch]:
    """Batches from where the run stands in its data."""
    return gan_core.data.image_batches(
        source,
        global_batch_size=settings.global_batch_size,
        strategy=strategy,
        seed=settings.seed,
        first_image=int(gan.images_seen.numpy()),
        image_shape=image_shape(gan),
        flip=settings.flip,
    )


def make_schedule(settings: Settings) -> gan_core.Schedule:
    """One shared pass, or several discriminator updates and a generator update."""
    if settings.discriminator_updates == 1:
        return gan_core.simultaneous()
    return gan_core.alternating(settings.discriminator_updates)


def make_picture(gan: gan_core.Gan, settings: Settings) -> gan_core.run.MakePicture | None:
    """A class in each row where there are classes, of many the first; None for the usual grid."""
    if not settings.num_classes:
        return None
    num_rows = min(settings.num_classes, max(10, _MOST_PIXELS_HIGH // image_shape(gan)[0]))
    return gan_core.run.samples_by_class(gan, num_rows)


def make_plan(settings: Settings) -> gan_core.run.Plan:
    """How far, and what is written when."""
    names = [field.name for field in dataclasses.fields(gan_core.run.Plan)]
    values = {name: getattr(settings, name) for name in names}
    return gan_core.run.Plan(**values | {"total_minutes": settings.total_minutes or None})


def set_learning_rates(gan: gan_core.Gan, settings: Settings) -> None:
    """Gives both optimizers the settings' rates: those of a checkpoint may be others.

    Rates that change are functions of the settings and of counts; a checkpoint holds none.
    """
    if settings.learning_rate_schedule != "constant" or settings.learning_rate_warm_up_steps:
        return
    for optimizer, rate in (
        (gan.generator_optimizer, settings.generator_learning_rate),
        (gan.discriminator_optimizer, settings.discriminator_learning_rate),
    ):
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = rate


def describe_disk_use(gan: gan_core.Gan, settings: Settings) -> str:
    """How much room the run's checkpoints take, and how much there is."""
    owners = [
        gan.generator,
        gan.discriminator,
        gan.generator_optimizer,
        gan.discriminator_optimizer,
        *filter(None, [gan.generator_average]),
    ]
    variables = [variable for owner in owners for variable in owner.variables]
    one = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
    # One more than is kept while the newest is being written, and the best where runs are judged.
    most = one * (settings.keep_checkpoints + 1 + bool(settings.evaluate_every_steps))
    free = shutil.disk_usage(gan_core.run.nearest_existing(Path(settings.workdir))).free
    if free < most:
        warnings.warn(
            f"--workdir={settings.workdir} has {free / 2**20:,.0f} MiB of room, and checkpoints "
            f"take up to {most / 2**20:,.0f} MiB: make room, or keep fewer with --keep_checkpoints",
            RuntimeWarning,
            stacklevel=2,
        )
    return (
        f"{one / 2**20:,.0f} MiB a checkpoint, up to {most / 2**20:,.0f} MiB in all; "
        f"{free / 2**30:,.1f} GiB are free"
    )


def image_shape(gan: gan_core.Gan) -> tuple[int, int, int]:
    """(H, W, C) of the generator's images."""
    return tuple(gan.generator.output_shape[1:])


def _make_optimizer(
    settings: Settings, peak: float, updates_a_step: int
) -> keras.optimizers.Optimizer:
    rate = gan_core.learning_rate(
        peak,
        settings.learning_rate_schedule,
        decay_steps=settings.learning_rate_decay_steps * updates_a_step,
        final_share=settings.learning_rate_final_share,
        warm_up_steps=settings.learning_rate_warm_up_steps * updates_a_step,
    )
    steps = settings.gradient_accumulation_steps
    gradients = {
        "global_clipnorm": settings.clip_norm or None,
        "gradient_accumulation_steps": steps if steps > 1 else None,
    }
    if settings.optimizer == "adam":
        betas = {"beta_1": settings.beta_1, "beta_2": settings.beta_2}
        optimizer = gan_core.Adam(rate, **betas, **gradients)
    else:
        optimizer = gan_core.RMSprop(rate, **gradients)
    if settings.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _make_game(settings: Settings) -> gan_core.Game:
    """What is played, from the names that the flags give."""
    moved = gan_core.differentiable_augmentation("translation")
    penalties = [
        ("r1", gan_core.r1, settings.r1_weight, settings.r1_every_steps),
        ("r2", gan_core.r2, settings.r2_weight, settings.r1_every_steps),
        ("wgan_gp", gan_core.wgan_gp, settings.wgan_gp_weight, 1),
        ("consistency", gan_core.consistency(moved), settings.consistency_weight, 1),
    ]
    regularizers = [gan_core.Regularizer(*penalty) for penalty in penalties if penalty[2]]
    if settings.lecam_weight:
        regularizers.append(gan_core.lecam(settings.lecam_weight))
    if settings.loss == "non_saturating":
        loss = gan_core.non_saturating(settings.real_label, settings.fake_label)
    else:
        loss = gan_core.LOSSES[settings.loss]()
    game = conditional.ConditionalGame if settings.num_classes else gan_core.Game
    return game(loss, regularizers, _make_augmentation(settings))


def _make_augmentation(settings: Settings) -> gan_core.Augment | None:
    names = list(filter(None, settings.augment.split(",")))
    if not names:
        return None
    if settings.augment_probability == ADAPTIVE:
        probability = gan_core.AdaptiveProbability(settings.augment_target)
    else:
        probability = float(settings.augment_probability)
    return gan_core.differentiable_augmentation(*names, probability=probability)
