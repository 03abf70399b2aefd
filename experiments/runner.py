"""What every experiment does: one `main` that trains, generates or informs."""

from __future__ import annotations

import dataclasses
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gan_core
from experiments import flags, run_folder
from experiments.flags import Settings
from gan_core import ArgumentError

USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130
_GENERATED_AT_ONCE = 64
_GRID_COLUMNS = 8
_GRID_WIDTH = 1024


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A pair of networks and how it is trained by default.

    Attributes:
      name: Name of the module.
      build_generator: latent size -> built model, latents [B, Z] -> images [B, H, W, C].
      build_discriminator: () -> built model, images -> logits [B, 1].
      latents: What the generator is fed.
      defaults: Flags whose defaults differ from those in `flags.Settings`.
      value_range: Range of the generator's outputs.
    """

    name: str
    build_generator: Callable[[int], keras.Model]
    build_discriminator: Callable[[], keras.Model]
    latents: gan_core.LatentDistribution
    defaults: Mapping[str, Any]
    value_range: gan_core.ValueRange = (-1.0, 1.0)


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """Runs an experiment from the command line and exits.

    Exit codes: 0 done; 2 a flag, the data or the workdir cannot work, told in one line; 130
    interrupted.
    """
    sys.exit(run(experiment, sys.argv[1:] if arguments is None else arguments))


def run(experiment: Experiment, arguments: Sequence[str]) -> int:
    """`main` without the exit: returns the exit code."""
    defaults = {"workdir": f"runs/{experiment.name}", **experiment.defaults}
    try:
        settings = flags.parse(arguments, defaults)
        if settings is None:
            print(f"{sys.modules[experiment.build_generator.__module__].__doc__}\n")
            print(flags.help_text(defaults))
            return 0
        {"train": _train, "generate": _generate, "info": _info}[settings.mode](experiment, settings)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_EXIT_CODE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_EXIT_CODE
    return 0


def _train(experiment: Experiment, settings: Settings) -> None:
    workdir = Path(settings.workdir)
    run_folder.check_writable("workdir", workdir)
    strategy = _make_strategy(settings)
    settings, precision_facts = _choose_precision(settings)
    gan = _build_gan(experiment, settings, strategy)
    source = _open_source(settings, _image_shape(gan))
    checkpoints = gan_core.Checkpoints(workdir / "checkpoints", gan, settings.keep_checkpoints)
    facts = {"experiment": experiment.name, "data": source.name}
    restored = checkpoints.restore_latest(facts)
    step = int(gan.step.numpy())
    print(f"{experiment.name} on {source.facts()} (limit {settings.memory_limit_gib:g} GiB)")
    print(f"{gan_core.describe_strategy(strategy)}, {precision_facts}")
    print(f"from step {step:,} to {settings.total_steps:,}, workdir {workdir}", flush=True)
    if settings.dry_run:
        print("dry run: everything fits; nothing was trained, and the workdir is as it was")
        return
    if restored and step >= settings.total_steps:
        print(f"nothing to do: step {step:,} is reached; give a larger --total_steps to go on")
        return

    run_folder.make_folder("workdir", workdir)
    (workdir / "effective.flags").write_text(settings.as_flagfile())
    caption = f"{experiment.name}, {source.name}"
    _write_reals(gan, source, settings, caption, workdir / "reals.png")
    status = gan_core.StatusWriter(settings.total_steps, step)
    run_folder.drop_samples_after(step, workdir / "samples")
    writer = _make_writer(workdir, step, caption, status)
    if not restored:
        writer.write_settings({**settings.as_dict(), "data": source.facts()})
    draw_samples = gan_core.SampleGrid(gan, writer, caption, _num_grid_images(gan))
    if step == 0:
        draw_samples(0, {})
    window = gan_core.MetricsWindow(gan, writer)
    intervals = [
        (settings.log_every_steps, window.write),
        (settings.sample_every_steps, draw_samples),
        (settings.sample_every_steps, gan_core.CurvesPicture(workdir, caption)),
        (settings.checkpoint_every_steps, lambda step, metrics: checkpoints.save(facts)),
    ]
    hooks = [gan_core.Every(every, hook, settings.total_steps) for every, hook in intervals]
    print("Tracing the step (first call) ...", flush=True)
    try:
        gan_core.train(
            gan,
            _make_batches(gan, source, settings, strategy),
            total_steps=settings.total_steps,
            steps_per_call=settings.steps_per_call,
            hooks=[window.add, lambda step, metrics: status.advance(step), *hooks],
        )
    finally:
        writer.close()
    run_folder.write_gif(workdir / "samples", workdir / "training.gif")
    print(
        f"done: step {settings.total_steps:,}; look at {workdir}/samples and {workdir}/curves.png"
    )


def _make_writer(
    workdir: Path, step: int, caption: str, status: gan_core.Writer
) -> gan_core.Writer:
    return gan_core.MultiWriter(
        [
            gan_core.JsonLinesWriter(workdir / "metrics.jsonl", last_step=step),
            gan_core.TensorBoardWriter(workdir / "tensorboard"),
            gan_core.PictureFilesWriter(workdir, caption),
            status,
        ]
    )


def _generate(experiment: Experiment, settings: Settings) -> None:
    output = Path(settings.output or Path(settings.workdir) / "generated.png")
    run_folder.check_writable("output", output.parent if output.suffix == ".png" else output)
    strategy = _make_strategy(settings)
    settings, _ = _choose_precision(settings)
    gan = _build_gan(experiment, settings, strategy)
    checkpoints = gan_core.Checkpoints(Path(settings.workdir) / "checkpoints", gan)
    facts = checkpoints.restore_latest({"experiment": experiment.name}, for_training=False)
    if facts is None:
        raise ArgumentError(
            "workdir", settings.workdir, "must hold a checkpoint", "train there first"
        )
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


def _generate_pictures(gan: gan_core.GanStep, settings: Settings) -> np.ndarray:
    """uint8 [num_images, H, W, C], a pure function of the weights and the seed."""
    pictures = []
    for start in range(0, settings.num_images, _GENERATED_AT_ONCE):
        seed = gan_core.stream_seed(settings.seed, "generate", start)
        latents = gan.latents(_GENERATED_AT_ONCE, seed)[: settings.num_images - start]
        pictures.append(gan_core.to_uint8(gan.sample(latents), gan.value_range))
    return np.concatenate(pictures)


def _info(experiment: Experiment, settings: Settings) -> None:
    strategy = _make_strategy(settings)
    settings, precision_facts = _choose_precision(settings)
    gan = _build_gan(experiment, settings, strategy)
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
    print(f"data: {_open_source(settings, _image_shape(gan)).facts()}")
    print(f"devices: {gan_core.describe_strategy(strategy)}, {precision_facts}")
    print(
        f"versions: Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}"
    )
    print(f"settings:\n{settings.as_flagfile()}", end="")


def _make_strategy(settings: Settings) -> tf.distribute.Strategy:
    if settings.virtual_devices > 1:
        gan_core.make_virtual_devices(settings.virtual_devices)
    strategy = gan_core.make_strategy(settings.strategy)
    gan_core.per_replica_batch_size(settings.global_batch_size, strategy)
    return strategy


def _choose_precision(settings: Settings) -> tuple[Settings, str]:
    """Settings with `auto` replaced by what it stands for here, and a few words on it."""
    policy, reason = gan_core.choose_precision(settings.precision)
    return dataclasses.replace(settings, precision=policy), f"{policy} ({reason})"


def _open_source(settings: Settings, image_shape: tuple[int, int, int]) -> gan_core.ImageSource:
    """The images that `--dataset` names, fitted to the network's size, enough for one batch."""
    fitting = {"image_shape": image_shape, "crop": settings.crop}
    storage = {
        "cache_dir": Path(settings.cache_dir),
        "memory_limit_bytes": int(settings.memory_limit_gib * 2**30),
    }
    if settings.dataset == "drawn_digits":
        source = gan_core.drawn_digits(settings.split, **fitting)
    elif settings.dataset == "folder":
        if not settings.data_dir:
            raise ArgumentError(
                "data_dir", "empty", "must name the folder of pictures", "give --data_dir=PATH"
            )
        folder, bad_images = Path(settings.data_dir), settings.bad_images
        source = gan_core.folder_images(folder, bad_images=bad_images, **fitting, **storage)
    elif settings.dataset.endswith(gan_core.ARRAY_FILE_ENDINGS):
        source = gan_core.array_file_images(Path(settings.dataset), **fitting, **storage)
    else:
        split, data_dir = settings.split, settings.data_dir or None
        source = gan_core.tfds_images(
            settings.dataset, split=split, data_dir=data_dir, **fitting, **storage
        )
    if len(source.images) < settings.global_batch_size:
        raise ArgumentError(
            "dataset",
            source.name,
            f"must hold a batch of {settings.global_batch_size} usable images at least, but has "
            f"{len(source.images)}",
            "add images, or use a smaller --global_batch_size",
        )
    return source


def _build_gan(
    experiment: Experiment, settings: Settings, strategy: tf.distribute.Strategy
) -> gan_core.GanStep:
    keras.config.set_dtype_policy(settings.precision)
    keras.utils.set_random_seed(settings.seed)
    with strategy.scope():
        return gan_core.GanStep(
            generator=experiment.build_generator(experiment.latents.size),
            discriminator=experiment.build_discriminator(),
            generator_optimizer=_make_optimizer(settings, settings.generator_learning_rate),
            discriminator_optimizer=_make_optimizer(settings, settings.discriminator_learning_rate),
            latents=experiment.latents,
            global_batch_size=settings.global_batch_size,
            value_range=experiment.value_range,
            seed=settings.seed,
        )


def _make_batches(
    gan: gan_core.GanStep,
    source: gan_core.ImageSource,
    settings: Settings,
    strategy: tf.distribute.Strategy,
) -> Iterator[gan_core.Batch]:
    return gan_core.image_batches(
        source,
        global_batch_size=settings.global_batch_size,
        strategy=strategy,
        seed=settings.seed,
        first_image=int(gan.images_seen.numpy()),
        image_shape=_image_shape(gan),
        flip=settings.flip,
    )


def _image_shape(gan: gan_core.GanStep) -> tuple[int, int, int]:
    return tuple(gan.generator.output_shape[1:])


def _make_optimizer(settings: Settings, learning_rate: float) -> keras.optimizers.Optimizer:
    if settings.optimizer == "adam":
        optimizer = gan_core.Adam(learning_rate, beta_1=settings.beta_1)
    else:
        optimizer = keras.optimizers.RMSprop(learning_rate)
    if settings.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _write_reals(
    gan: gan_core.GanStep,
    source: gan_core.ImageSource,
    settings: Settings,
    caption: str,
    path: Path,
) -> None:
    """The run's first images, as the discriminator gets them."""
    numbers = tf.range(min(_num_grid_images(gan), len(source.images)), dtype=tf.int64)
    batch = gan_core.read_images(
        source, numbers, seed=settings.seed, image_shape=_image_shape(gan), flip=settings.flip
    )
    picture = gan_core.grid(batch.images.numpy())
    picture = gan_core.with_caption(picture, f"{caption}, real images")
    path.write_bytes(gan_core.png_bytes(picture, caption))


def _num_grid_images(gan: gan_core.GanStep) -> int:
    """A square of 8x8, or of as many large images as fit into 1,024 pixels."""
    return min(_GRID_COLUMNS, max(1, _GRID_WIDTH // _image_shape(gan)[1])) ** 2
