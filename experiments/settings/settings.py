"""Each setting once: name, default, help, what may be given and what a run may change."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.settings import setting_rules
from experiments.settings.flag import (
    EACH_MACHINE,
    EACH_START,
    FREELY,
    IF_ALLOWED,
    NEVER,
    Changes,
    Options,
    flag,
    flag_of,
)
from experiments.settings.parse import has_flagfile, make_options, parse_given
from gan_core import AUGMENTATIONS, LEARNING_RATES, LOSSES, ArgumentError
from gan_core.data import BAD_IMAGES, CROPS
from gan_core.fast import PRECISIONS
from gan_core.run import ON_COLLAPSE, ON_NAN, STRATEGIES, newest_facts, step_paths

MODES = {
    "train": "train, or go on where the run in --workdir stopped",
    "generate": "pictures from a run's best checkpoint, or the newest where none was judged",
    "evaluate": "how good a run's checkpoints are, as a table and a CSV file",
    "info": "networks, data, devices and settings, without training",
}
EXTRACTORS = ("auto", "classifier", "random_convolutions", "inception", "file")
OPTIMIZERS = ("adam", "rmsprop")
EFFECTIVE_FLAGS = "effective.flags"
"""The flagfile in a run's folder: the settings that it was last started with."""

BestFlagfile = Callable[[str], Path]
"""From the networks' name to the flagfile with the best settings for them, which may not exist."""

BATCH_NORMS = ("per_replica", "synchronized")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """All settings of one run. A field is a flag of the same name.

    Raises:
      ArgumentError: If a value is out of its range, or two do not fit each other.
    """

    mode: str = flag(
        "train",
        " ".join(f"{name}: {words}." for name, words in MODES.items()),
        choices=MODES,
        changes=EACH_START,
    )
    workdir: str = flag(
        "",
        "Folder of the run: all it writes goes there. runs/<experiment> if empty. Where it holds a "
        "run, flags that are not given are read from that run's effective.flags.",
        changes=EACH_START,
        is_path=True,
        aliases="checkpoint_dir continue log_dir logdir model_dir out out_dir outdir output_dir "
        "restore resume run_dir save_dir",
    )
    dataset: str = flag(
        "drawn_digits",
        "drawn_digits (drawn by the program; needs no data and no network), the path of a folder "
        "of pictures (or folder, and its path as --data_dir), a .npy or .npz file of images, or "
        "the name of a TensorFlow Datasets set of images, for example svhn_cropped.",
        changes=NEVER,
        is_path=True,
        aliases="data",
    )
    data_dir: str = flag(
        "",
        "With --dataset=folder the folder of pictures; otherwise the TensorFlow Datasets "
        "directory, to which missing sets are downloaded, ~/tensorflow_datasets if empty.",
        changes=EACH_MACHINE,
        is_path=True,
        aliases="data data_path folder image_dir images input",
    )
    split: str = flag(
        "train",
        "Which part of the dataset, for example train, train+extra, train[:10%].",
        changes=NEVER,
        describes_data=True,
    )
    crop: str = flag(
        "centre",
        "How pictures of another size are fitted to the network's. centre: cut evenly to its "
        "aspect, then scaled. none: squeezed whole. random: a little larger, cut at random.",
        choices=CROPS,
        changes=NEVER,
        describes_data=True,
    )
    flip: bool = flag(
        False,
        "Mirror each image left to right with probability 1/2.",
        changes=NEVER,
        describes_data=True,
        aliases="hflip mirror",
    )
    bad_images: str = flag(
        "error",
        "What to do with files of a folder that are no whole pictures. error: stop and name the "
        "first. skip: leave them out, and say how many and which.",
        choices=BAD_IMAGES,
        changes=EACH_MACHINE,
    )
    cache_dir: str = flag(
        "~/.cache/gan_core", "Where decoded images are kept.", changes=EACH_MACHINE, is_path=True
    )
    memory_limit_gib: float = flag(
        4.0,
        "Images that take more memory than this are read from --cache_dir instead.",
        above=0,
        at_most=1e6,
        changes=EACH_MACHINE,
    )
    total_steps: int = flag(
        3000,
        "Train until this step, counted from the run's start. A larger one goes on with a run.",
        at_least=0,
        changes=FREELY,
        aliases="epochs iterations iters num_epochs steps",
    )
    total_minutes: float = flag(
        0.0,
        "End earlier, after so many minutes of training, evaluations left out; never if 0. More go "
        "on with a run.",
        at_least=0,
        changes=FREELY,
    )
    global_batch_size: int = flag(
        128,
        "Images in one step, over all devices together.",
        above=0,
        at_most=1e6,
        changes=NEVER,
        aliases="batch bs",
    )
    steps_per_call: int = flag(
        10,
        "Steps run in one call into the graph; must divide the intervals below.",
        above=0,
        at_most=1e6,
        changes=IF_ALLOWED,
    )
    seed: int = flag(
        0,
        "Seed of weights, latents and the order of the images.",
        at_least=0,
        at_most=2**31 - 1,
        changes=NEVER,
        aliases="random_seed",
    )
    strategy: str = flag(
        "auto",
        "one_device: the first GPU, or the CPU. mirrored: data parallel over all of them. auto: "
        "mirrored where there are several. multi_worker: data parallel over the processes that the "
        "environment variable TF_CONFIG lists; --workdir must be a folder that all share.",
        choices=STRATEGIES,
        changes=IF_ALLOWED,
        training_only=True,
        aliases="devices gpus num_gpus",
    )
    virtual_devices: int = flag(
        1,
        "Split the CPU into this many devices, to try --strategy=mirrored without GPUs.",
        above=0,
        at_most=256,
        changes=IF_ALLOWED,
        training_only=True,
        aliases="devices",
    )
    workers: int = flag(
        1,
        "Start so many processes on this machine with --strategy=multi_worker, to try it.",
        above=0,
        at_most=256,
        changes=EACH_START,
    )
    worker_timeout_secs: float = flag(
        600.0,
        "How long a process of several waits at its start for the others to be there.",
        above=0,
        changes=EACH_START,
    )
    batch_norm: str = flag(
        "per_replica",
        "What batch normalization sees on several replicas. per_replica: its replica's part of the "
        "batch. synchronized: the global batch, for a message between the replicas a layer.",
        choices=BATCH_NORMS,
        changes=IF_ALLOWED,
    )
    precision: str = flag(
        "float32",
        "Arithmetic of the networks; weights and losses stay float32. auto: mixed_bfloat16 where "
        "the hardware computes in it (CPUs with AVX-512 BF16 or AMX, GPUs since Ampere), float32 "
        "elsewhere. mixed_float16 is for older GPUs.",
        choices=PRECISIONS,
        changes=IF_ALLOWED,
        aliases="amp bf16 dtype fp16 mixed_precision",
    )
    jit_compile: bool = flag(
        False,
        "Compile each update with XLA. It is meant for GPUs; on CPUs convolutions are many times "
        "slower. One device only; other latents are drawn than without it.",
        changes=IF_ALLOWED,
        aliases="xla",
    )
    optimizer: str = flag("adam", "Optimizer of both networks.", choices=OPTIMIZERS, changes=NEVER)
    generator_learning_rate: float = flag(
        2e-4,
        "Learning rate of the generator.",
        above=0,
        changes=IF_ALLOWED,
        aliases="g_lr learning_rate lr",
    )
    discriminator_learning_rate: float = flag(
        2e-4,
        "Learning rate of the discriminator.",
        above=0,
        changes=IF_ALLOWED,
        aliases="d_lr learning_rate lr",
    )
    beta_1: float = flag(
        0.5,
        "Adam's decay of the first moment; rmsprop does not use it.",
        at_least=0,
        below=1,
        changes=NEVER,
    )
    beta_2: float = flag(
        0.999,
        "Adam's decay of the second moment, below 1: the smaller, the sooner large early gradients "
        "are forgotten; rmsprop does not use it.",
        at_least=0,
        below=1,
        changes=NEVER,
    )
    learning_rate_schedule: str = flag(
        "constant",
        "How both learning rates change over the steps: they stay, or fall to a share of "
        "themselves along a line or half a cosine.",
        choices=LEARNING_RATES,
        changes=NEVER,
        aliases="lr_schedule",
    )
    learning_rate_decay_steps: int = flag(
        0,
        "The step at which they have fallen, and stay from then on. If 0 the --total_steps that "
        "the run is started with; a later, larger one does not change it.",
        at_least=0,
        changes=IF_ALLOWED,
        unless=("learning_rate_schedule", "constant"),
    )
    learning_rate_final_share: float = flag(
        0.0,
        "The share to which they fall.",
        at_least=0,
        at_most=1,
        changes=IF_ALLOWED,
        unless=("learning_rate_schedule", "constant"),
    )
    learning_rate_warm_up_steps: int = flag(
        0,
        "Steps in which they rise from 0, first of all.",
        at_least=0,
        changes=NEVER,
        aliases="warmup_steps",
    )
    clip_norm: float = flag(
        0.0,
        "Longest gradient of a network, all its variables together; a longer one is shortened to "
        "it. None if 0.",
        at_least=0,
        changes=IF_ALLOWED,
        aliases="grad_clip max_grad_norm",
    )
    gradient_accumulation_steps: int = flag(
        1,
        "Updates of a network whose gradients are averaged and then applied at once: a batch so "
        "many times as large, in the memory of one. Steps count as without.",
        above=0,
        at_most=1e6,
        changes=NEVER,
        aliases="grad_accum",
    )
    discriminator_updates: int = flag(
        1,
        "Discriminator updates in a step. 1: both networks are updated from one shared pass. More: "
        "that many, each on a batch of its own, then one of the generator.",
        above=0,
        at_most=100,
        changes=NEVER,
        aliases="critic_steps d_steps n_critic",
    )
    networks: str = flag(
        "original",
        "Which of the experiment's networks: original, or the name of sister networks.",
        changes=NEVER,
    )
    image_size: int = flag(
        0,
        "Height and width of the images, for networks that can be built for several: a multiple of "
        "16 up to 256. That of the original networks if 0.",
        at_least=0,
        changes=NEVER,
    )
    num_classes: int = flag(
        0,
        "Make both networks conditional on so many classes, the data's labels; each row of the "
        "grids is then a class, of many the first. 0: labels are not looked at.",
        at_least=0,
        at_most=1e5,
        changes=NEVER,
        describes_data=True,
        aliases="class_conditional classes conditional",
    )
    loss: str = flag(
        "non_saturating",
        "What the networks play for. relativistic compares each fake with a real image and is "
        "played with R1 and R2; wasserstein needs --wgan_gp_weight.",
        choices=LOSSES,
        changes=NEVER,
    )
    real_label: float = flag(
        1.0,
        "What --loss=non_saturating tells the discriminator of real images; 0.9 is one-sided label "
        "smoothing.",
        above=0,
        changes=NEVER,
    )
    fake_label: float = flag(
        0.0, "What it tells it of fakes; above 0 smooths that side too.", at_least=0, changes=NEVER
    )
    augment: str = flag(
        "",
        "What is done to all images that the discriminator sees, for few images: some of "
        f"{', '.join(AUGMENTATIONS)}, with commas. For digits translation,cutout.",
        changes=NEVER,
    )
    augment_probability: str = flag(
        "1",
        "Probability of each of --augment for each image, from 0 to 1. adaptive: it rises from 0 "
        "while the discriminator is too sure of real images (ADA), by 1 in 500,000 images.",
        changes=NEVER,
        unless=("augment", ""),
        aliases="ada",
    )
    augment_target: float = flag(
        0.6,
        "How sure is too sure for --augment_probability=adaptive: the mean sign of real logits.",
        at_least=0,
        below=1,
        changes=NEVER,
        unless=("augment", ""),
        aliases="ada_target",
    )
    r1_weight: float = flag(
        0.0,
        "Weight of the R1 penalty on the discriminator's gradient at real images, half of the "
        "paper's gamma; none if 0.",
        at_least=0,
        changes=NEVER,
        aliases="gamma",
    )
    r1_every_steps: int = flag(
        1,
        "Discriminator updates from one R1 penalty to the next; so many times as strong.",
        above=0,
        at_most=1e6,
        changes=NEVER,
    )
    r2_weight: float = flag(
        0.0,
        "Weight of the R2 penalty, as R1 at fake images and as often; none if 0.",
        at_least=0,
        changes=NEVER,
    )
    wgan_gp_weight: float = flag(
        0.0,
        "Weight of WGAN-GP's penalty on the gradient between real and fake images, 10 in the "
        "paper; none if 0.",
        at_least=0,
        changes=NEVER,
    )
    consistency_weight: float = flag(
        0.0,
        "Weight of the penalty on how much the logit of a real image changes when it is moved by "
        "up to an eighth of its sides (CR-GAN), 10 in the paper; none if 0.",
        at_least=0,
        changes=NEVER,
    )
    lecam_weight: float = flag(
        0.0,
        "Weight of LeCam's penalty on how far logits are from the running mean of the other kind, "
        "for few images; 0.3 in the paper with --loss=hinge; none if 0.",
        at_least=0,
        changes=NEVER,
    )
    average_half_life_images: float = flag(
        0.0,
        "Samples come from an average of the generator's weights over training, in which a weight "
        "counts half after so many images; from the weights themselves if 0.",
        at_least=0,
        changes=NEVER,
        aliases="ema",
    )
    on_nan: str = flag(
        "stop",
        "When a loss or a gradient is NaN or infinite. stop: save the batch and end. rollback: "
        "save the batch and go back to the newest checkpoint, with other random numbers.",
        choices=ON_NAN,
        changes=FREELY,
    )
    maximum_rollbacks: int = flag(
        3, "How often a run may go back.", above=0, at_most=1e6, changes=FREELY
    )
    evaluate_every_steps: int = flag(
        0,
        "Steps between two evaluations of the samples: distance to real images, coverage and more. "
        "The best checkpoint is kept. None if 0.",
        at_least=0,
        changes=FREELY,
    )
    evaluation_time_share: float = flag(
        0.05,
        "The most of the time that evaluations may take; those that would take more are left out.",
        above=0,
        at_most=1,
        changes=FREELY,
    )
    evaluation_samples: int = flag(
        2000, "How many samples an evaluation judges.", at_least=2, at_most=1e7, changes=FREELY
    )
    evaluation_split: str = flag(
        "auto",
        "Real images that were not trained on, to say what a distance means. auto: test where the "
        "dataset has it. none: a part of the training images stands in.",
        changes=FREELY,
        describes_data=True,
    )
    extractor: str = flag(
        "auto",
        "What sees the samples. classifier: trained once on the labels. random_convolutions: for "
        "images without labels. auto: by whether there are labels. inception: the graph of FID, "
        "the file --extractor_path. file: a Keras file or SavedModel there.",
        choices=EXTRACTORS,
        changes=FREELY,
        describes_data=True,
    )
    extractor_path: str = flag(
        "", "The file of --extractor=inception or file.", changes=EACH_MACHINE
    )
    stop_after_no_improvement: int = flag(
        0,
        "End after so many evaluations in a row that were no better than the best; never if 0.",
        at_least=0,
        changes=FREELY,
        unless=("evaluate_every_steps", 0),
    )
    on_collapse: str = flag(
        "warn",
        "When three evaluations in a row are three times as bad as the best. warn: say so. stop: "
        "end. rollback: go back to the best checkpoint, with other random numbers.",
        choices=ON_COLLAPSE,
        changes=FREELY,
        unless=("evaluate_every_steps", 0),
    )
    deterministic: bool = flag(
        False,
        "Only deterministic kernels, slower on GPUs; there a run that was stopped goes on bit for "
        "bit only so. On CPUs it always does.",
        changes=IF_ALLOWED,
    )
    allow_changes: bool = flag(
        False,
        "Go on with changed intervals, devices, precision, learning rates or clipping.",
        changes=EACH_START,
    )
    log_every_steps: int = flag(100, "Steps between two status lines.", above=0, changes=IF_ALLOWED)
    sample_every_steps: int = flag(
        500,
        "Steps between two grids of samples; the first come at steps 10, 25, 50 and 100.",
        above=0,
        changes=IF_ALLOWED,
    )
    checkpoint_every_steps: int = flag(
        500, "Steps between two checkpoints.", above=0, changes=IF_ALLOWED, aliases="save_every"
    )
    keep_checkpoints: int = flag(
        3, "How many of the newest checkpoints to keep.", above=0, at_most=1e6, changes=FREELY
    )
    dry_run: bool = flag(
        False,
        "Check everything, the data included (it is downloaded and decoded where it must be), and "
        "print what would be done, without training or touching --workdir.",
        changes=EACH_START,
    )
    num_images: int = flag(
        64,
        "How many pictures --mode=generate makes.",
        above=0,
        at_most=1e8,
        changes=EACH_START,
        aliases="images",
    )
    checkpoint: str = flag(
        "",
        "What --mode=generate and evaluate take: best, newest, a step, or all (to evaluate). If "
        "empty the best, or the newest where none was judged.",
        changes=EACH_START,
    )
    output: str = flag(
        "",
        "Where --mode=generate writes: one grid if it ends in .png, a folder of pictures "
        "otherwise, <workdir>/generated.png if empty; and --mode=evaluate its table, "
        "<workdir>/evaluation.csv if empty.",
        changes=EACH_START,
        is_path=True,
        aliases="out out_dir outdir output_dir",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        setting_rules.check(self)

    def changes_from(self, before: Mapping[str, Any]) -> dict[Changes, list[str]]:
        """What differs from a run's settings, as `<name>: was <value>, now <value>`.

        Returns:
          Such lines under `IF_ALLOWED` and `NEVER`; what may change freely is left out.
        """
        changes: dict[Changes, list[str]] = {IF_ALLOWED: [], NEVER: []}
        for field in dataclasses.fields(self):
            now, rule = getattr(self, field.name), flag_of(field).changes
            # What a run knew nothing of when it was saved was as it is by default.
            was = before.get(field.name, field.default)
            if field.name == "precision" and "mixed_float16" in (was, now):
                rule = NEVER  # loss scaling is part of the checkpoint
            if rule in changes and was != now:
                changes[rule].append(f"{field.name}: was {was}, now {now}")
        return changes

    def of_the_run(self) -> dict[str, Any]:
        """The settings in which all workers of a run must agree."""
        fields = dataclasses.fields(self)
        rules = (FREELY, IF_ALLOWED, NEVER)
        names = [field.name for field in fields if flag_of(field).changes in rules]
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """Values by name."""
        return dataclasses.asdict(self)

    def as_flagfile(self) -> str:
        """The text of a flagfile with the same effect."""
        lines = []
        for name, value in self.as_dict().items():
            lines.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
        return "\n".join(lines) + "\n"


def read_settings(
    arguments: Sequence[str], defaults: Mapping[str, Any], best: BestFlagfile | None = None
) -> Settings | None:
    """Settings from a command line; each of these overrides the one before.

    Defaults, the best flagfile, the run in the workdir, flagfiles named, flags.

    Args:
      arguments: The command line after the program's name.
      defaults: The experiment's defaults by flag, which override those of the flags.
      best: The flagfile to use if `arguments` name none, by the networks' name.

    Returns:
      The settings; None if `--help` was given.

    Raises:
      ArgumentError: If a flag is unknown or a value is not allowed.
    """
    given = parse_given(Settings, arguments)
    if given is None:
        return None
    values = with_best(given, defaults, None if has_flagfile(arguments) else best)
    values = {**values, **given}
    workdir = values.get("workdir") or os.path.expanduser(defaults.get("workdir", ""))
    if workdir and _holds_run(Path(workdir)):
        of_run = _settings_of_run(Path(workdir), values.get("mode", Settings.mode))
        values = {**defaults, **_without_unused(of_run, given), **given}
    values = _with_folder_as_dataset(values | {"workdir": workdir}, given)
    return make_options(Settings, _with_end_of_decay(values))


def with_best(
    given: Mapping[str, Any], defaults: Mapping[str, Any], best: BestFlagfile | None
) -> dict[str, Any]:
    """Defaults overridden by those of the best flagfile.

    Settings that the given ones turn off are left out, such as the probability of augmentation;
    with other data than the flagfile's also those that describe its data, such as labels.
    """
    path = best(given.get("networks", Settings.networks)) if best else None
    if path is None or not path.exists():
        return dict(defaults)
    found = {**defaults, **(parse_given(Settings, [f"--flagfile={path}"]) or {})}
    found = _without_unused(found, given)
    own = found.get("dataset", Settings.dataset)
    dataset = given.get("dataset", own)
    if dataset == own or (own == "folder" and os.path.isdir(dataset)):
        return found
    of_data = {field.name for field in _fields() if flag_of(field).describes_data}
    return {name: value for name, value in found.items() if name not in of_data}


def _fields() -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(Settings)


def _holds_run(workdir: Path) -> bool:
    """Whether a start in a folder saved a checkpoint: the flags of one that did not are ignored."""
    return os.path.isfile(workdir / EFFECTIVE_FLAGS) and bool(step_paths(workdir / "checkpoints"))


def _without_unused(found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings found without those that the given ones turn off."""
    off = {field.name: flag_of(field).unless for field in _fields()}
    return {
        name: value
        for name, value in found.items()
        if not (off[name] and given.get(off[name][0]) == off[name][1])
    }


def _settings_of_run(workdir: Path, mode: str) -> dict[str, Any]:
    """What a run was last started with, except for flags of that start alone."""
    flagfile = workdir / EFFECTIVE_FLAGS
    try:
        values = parse_given(Settings, [f"--flagfile={flagfile}"]) or {}
    except ArgumentError as error:
        rule = f"holds settings that cannot be read: {error}"
        raise ArgumentError("workdir", workdir, rule, "mend them") from error
    changes = {field.name: flag_of(field).changes for field in _fields()}
    saved = (newest_facts(workdir / "checkpoints") or {}).get("settings", {})
    guarded = {name for name, rule in changes.items() if rule in (IF_ALLOWED, NEVER)}
    if any(values[name] != saved[name] for name in guarded & values.keys() & saved.keys()):
        # The weights were trained with others: that start ended before it saved any of its own.
        words = "the last start ended before its first checkpoint: its settings are not taken"
        print(f"{workdir}: {words}", file=sys.stderr)
        values = saved
    names = {name for name, rule in changes.items() if rule is not EACH_START}
    if mode != "train":
        names -= {field.name for field in _fields() if flag_of(field).training_only}
    return {name: value for name, value in values.items() if name in names}


def _with_folder_as_dataset(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A path as `--dataset` is a folder of pictures, or a file.

    It overrides the `--data_dir` of the run in the workdir, but not one that is `given` now.
    """
    dataset = values.get("dataset", Settings.dataset)
    if not re.match(r"[./~]", dataset) and os.sep not in dataset:
        return values
    if os.path.isdir(dataset):
        if given.get("data_dir", "") not in ("", dataset):
            rule = f"must not name another folder than `dataset` ({dataset})"
            raise ArgumentError("data_dir", values["data_dir"], rule, "leave one of them out")
        return values | {"dataset": "folder", "data_dir": dataset}
    if dataset[0] in "./~" and not os.path.exists(dataset):
        rule = "must be a folder of pictures or a file"
        raise ArgumentError("dataset", dataset, rule, "check the path")
    return values


def _with_end_of_decay(values: dict[str, Any]) -> dict[str, Any]:
    """Records where a decay ends, so that a larger `--total_steps` later does not stretch it."""
    schedule = values.get("learning_rate_schedule", Settings.learning_rate_schedule)
    if schedule == "constant" or values.get("learning_rate_decay_steps"):
        return values
    total_steps = values.get("total_steps", Settings.total_steps)
    return values | {"learning_rate_decay_steps": total_steps}
