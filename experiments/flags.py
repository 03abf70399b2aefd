"""Each flag once: name, default, help and rule; parsed into one frozen `Settings`."""

from __future__ import annotations

import dataclasses
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from experiments.flag_hints import flags_meant
from gan_core import AUGMENTATIONS, LOSSES, ArgumentError, check_divides
from gan_core.data import BAD_IMAGES, CROPS
from gan_core.fast import PRECISIONS
from gan_core.run import STRATEGIES

MODES = ("train", "generate", "info")
EFFECTIVE_FLAGS = "effective.flags"
_PATHS = {"workdir", "dataset", "data_dir", "cache_dir", "output"}
_DEVICES = {"strategy", "virtual_devices"}
OPTIMIZERS = ("adam", "rmsprop")
BATCH_NORMS = ("per_replica", "synchronized")
ON_NAN = ("stop", "rollback")
EACH_START, EACH_MACHINE = "each start", "each machine"
FREELY, IF_ALLOWED, NEVER = "freely", "if allowed", "never"


def _flag(
    default: Any,
    help_text: str,
    *,
    choices: Sequence[str] = (),
    above: float | None = None,
    changes: str,
) -> Any:
    """A flag: `choices` lists what may be given; a number must be above `above`.

    `changes` says whether a run may go on with another value than it was started with. EACH_START
    is no setting of the run: a later start does not read it from the run's folder. EACH_MACHINE
    may also differ between workers; in all others the workers must agree. FREELY: without a
    question. IF_ALLOWED: with --allow_changes. NEVER: that is another run.
    """
    metadata = {"help": help_text, "choices": choices, "above": above, "changes": changes}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one run. A field is a flag of the same name.

    Raises:
      ArgumentError: If a value is out of its range, or two do not fit each other.
    """

    mode: str = _flag(
        "train",
        "train: train, or go on where the run in --workdir stopped. generate: pictures from its "
        "newest checkpoint. info: print networks, data, devices and settings.",
        choices=MODES,
        changes=EACH_START,
    )
    workdir: str = _flag(
        "",
        "Folder of the run: all it writes goes there. runs/<experiment> if empty. Where it holds a "
        "run, flags that are not given are read from that run's effective.flags.",
        changes=EACH_START,
    )
    dataset: str = _flag(
        "drawn_digits",
        "drawn_digits (drawn by the program; needs no data and no network), the path of a folder "
        "of pictures (or folder, and its path as --data_dir), a .npy or .npz file of images, or "
        "the name of a TensorFlow Datasets set of images, for example svhn_cropped.",
        changes=NEVER,
    )
    data_dir: str = _flag(
        "",
        "With --dataset=folder the folder of pictures; otherwise the TensorFlow Datasets "
        "directory, to which missing sets are downloaded, ~/tensorflow_datasets if empty.",
        changes=EACH_MACHINE,
    )
    split: str = _flag(
        "train",
        "Which part of the dataset, for example train, train+extra, train[:10%].",
        changes=NEVER,
    )
    crop: str = _flag(
        "centre",
        "How pictures of another size are fitted to the network's. centre: cut evenly to its "
        "aspect, then scaled. none: squeezed whole. random: a little larger, cut at random.",
        choices=CROPS,
        changes=NEVER,
    )
    flip: bool = _flag(False, "Mirror every other image left to right, at random.", changes=NEVER)
    bad_images: str = _flag(
        "error",
        "What to do with files of a folder that are no whole pictures. error: stop and name the "
        "first. skip: leave them out, and say how many and which.",
        choices=BAD_IMAGES,
        changes=EACH_MACHINE,
    )
    cache_dir: str = _flag(
        "~/.cache/gan_core", "Where decoded images are kept.", changes=EACH_MACHINE
    )
    memory_limit_gib: float = _flag(
        4.0,
        "Images that take more memory than this are read from --cache_dir instead.",
        above=0,
        changes=EACH_MACHINE,
    )
    total_steps: int = _flag(
        3000,
        "Train until this step, counted from the run's start. A larger one goes on with a run.",
        above=-1,
        changes=FREELY,
    )
    global_batch_size: int = _flag(
        128, "Images in one step, over all devices together.", above=0, changes=NEVER
    )
    steps_per_call: int = _flag(
        10,
        "Steps run in one call into the graph; must divide the intervals below.",
        above=0,
        changes=IF_ALLOWED,
    )
    seed: int = _flag(
        0, "Seed of weights, latents and the order of the images.", above=-1, changes=NEVER
    )
    strategy: str = _flag(
        "auto",
        "one_device: the first GPU, or the CPU. mirrored: data parallel over all of them. auto: "
        "mirrored where there are several. multi_worker: data parallel over the processes that the "
        "environment variable TF_CONFIG lists; --workdir must be a folder that all share.",
        choices=STRATEGIES,
        changes=IF_ALLOWED,
    )
    virtual_devices: int = _flag(
        1,
        "Split the CPU into this many devices, to try --strategy=mirrored without GPUs.",
        above=0,
        changes=IF_ALLOWED,
    )
    workers: int = _flag(
        1,
        "Start so many processes on this machine with --strategy=multi_worker, to try it.",
        above=0,
        changes=EACH_START,
    )
    batch_norm: str = _flag(
        "per_replica",
        "What batch normalization sees on several replicas. per_replica: its replica's part of the "
        "batch. synchronized: the global batch, for a message between the replicas a layer.",
        choices=BATCH_NORMS,
        changes=IF_ALLOWED,
    )
    precision: str = _flag(
        "float32",
        "Arithmetic of the networks; weights and losses stay float32. auto: mixed_bfloat16 where "
        "the hardware computes in it (CPUs with AVX-512 BF16 or AMX, GPUs since Ampere), float32 "
        "elsewhere. mixed_float16 is for older GPUs.",
        choices=PRECISIONS,
        changes=IF_ALLOWED,
    )
    jit_compile: bool = _flag(
        False,
        "Compile each update with XLA. It is meant for GPUs; on CPUs convolutions are many times "
        "slower. One device only; other latents are drawn than without it.",
        changes=IF_ALLOWED,
    )
    optimizer: str = _flag("adam", "Optimizer of both networks.", choices=OPTIMIZERS, changes=NEVER)
    generator_learning_rate: float = _flag(
        2e-4, "Learning rate of the generator.", above=0, changes=IF_ALLOWED
    )
    discriminator_learning_rate: float = _flag(
        2e-4, "Learning rate of the discriminator.", above=0, changes=IF_ALLOWED
    )
    beta_1: float = _flag(
        0.5,
        "Adam's decay of the first moment; rmsprop does not use it.",
        above=-1e-9,
        changes=NEVER,
    )
    discriminator_updates: int = _flag(
        1,
        "Discriminator updates in a step. 1: both networks are updated from one shared pass. More: "
        "that many, each on a batch of its own, then one of the generator.",
        above=0,
        changes=NEVER,
    )
    loss: str = _flag(
        "non_saturating",
        "What the networks play for. relativistic compares each fake with a real image and is "
        "played with R1 and R2; wasserstein needs --wgan_gp_weight.",
        choices=LOSSES,
        changes=NEVER,
    )
    augment: str = _flag(
        "",
        "What is done to all images that the discriminator sees, for few images: some of "
        f"{', '.join(AUGMENTATIONS)}, with commas. For digits translation,cutout.",
        changes=NEVER,
    )
    r1_weight: float = _flag(
        0.0,
        "Weight of the R1 penalty on the discriminator's gradient at real images, half of the "
        "paper's gamma; none if 0.",
        above=-1e-9,
        changes=NEVER,
    )
    r1_every_steps: int = _flag(
        1,
        "Discriminator updates from one R1 penalty to the next; so many times as strong.",
        above=0,
        changes=NEVER,
    )
    r2_weight: float = _flag(
        0.0,
        "Weight of the R2 penalty, as R1 at fake images and as often; none if 0.",
        above=-1e-9,
        changes=NEVER,
    )
    wgan_gp_weight: float = _flag(
        0.0,
        "Weight of WGAN-GP's penalty on the gradient between real and fake images, 10 in the "
        "paper; none if 0.",
        above=-1e-9,
        changes=NEVER,
    )
    average_half_life_images: float = _flag(
        0.0,
        "Samples come from an average of the generator's weights over training, in which a weight "
        "counts half after so many images; from the weights themselves if 0.",
        above=-1e-9,
        changes=NEVER,
    )
    on_nan: str = _flag(
        "stop",
        "When a loss or a gradient is NaN or infinite. stop: save the batch and end. rollback: "
        "save the batch and go back to the newest checkpoint, with other random numbers.",
        choices=ON_NAN,
        changes=FREELY,
    )
    maximum_rollbacks: int = _flag(3, "How often a run may go back.", above=0, changes=FREELY)
    deterministic: bool = _flag(
        False,
        "Only deterministic kernels, slower on GPUs; there a run that was stopped goes on bit for "
        "bit only so. On CPUs it always does.",
        changes=IF_ALLOWED,
    )
    allow_changes: bool = _flag(
        False,
        "Go on with changed intervals, devices, precision or learning rates.",
        changes=EACH_START,
    )
    log_every_steps: int = _flag(
        100, "Steps between two status lines.", above=0, changes=IF_ALLOWED
    )
    sample_every_steps: int = _flag(
        500,
        "Steps between two grids of samples; the first come at steps 10, 25, 50 and 100.",
        above=0,
        changes=IF_ALLOWED,
    )
    checkpoint_every_steps: int = _flag(
        500, "Steps between two checkpoints.", above=0, changes=IF_ALLOWED
    )
    keep_checkpoints: int = _flag(
        3, "How many of the newest checkpoints to keep.", above=0, changes=FREELY
    )
    dry_run: bool = _flag(
        False,
        "Check everything, the data included (it is downloaded and decoded where it must be), and "
        "print what would be done, without training or touching --workdir.",
        changes=EACH_START,
    )
    num_images: int = _flag(
        64, "How many pictures --mode=generate makes.", above=0, changes=EACH_START
    )
    output: str = _flag(
        "",
        "Where --mode=generate writes: one grid if it ends in .png, a folder of pictures "
        "otherwise. <workdir>/generated.png if empty.",
        changes=EACH_START,
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.beta_1 >= 1:
            raise ArgumentError("beta_1", self.beta_1, "must be below 1", "use 0.5")
        if self.seed >= 2**31:
            raise ArgumentError("seed", self.seed, "must be below 2**31", "use a smaller number")
        for name in filter(None, self.augment.split(",")):
            if name not in AUGMENTATIONS:
                known = ", ".join(AUGMENTATIONS)
                raise ArgumentError("augment", name, "must be one of the known", f"use {known}")
        for name in ("log_every_steps", "sample_every_steps", "checkpoint_every_steps"):
            check_divides("steps_per_call", self.steps_per_call, name, getattr(self, name))

    def changes_from(self, before: Mapping[str, Any]) -> dict[str, list[str]]:
        """What differs from a run's settings, as `<name>: was <value>, now <value>`.

        Returns:
          Such lines under `IF_ALLOWED` and `NEVER`; what may change freely is left out.
        """
        changes: dict[str, list[str]] = {IF_ALLOWED: [], NEVER: []}
        for field in dataclasses.fields(self):
            now, rule = getattr(self, field.name), field.metadata["changes"]
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
        names = [field.name for field in fields if field.metadata["changes"] in rules]
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


def parse(arguments: Sequence[str], defaults: Mapping[str, Any]) -> Settings | None:
    """Settings from, each over the one before: defaults, the run in the workdir, flagfiles, flags.

    Args:
      arguments: The command line after the program's name.
      defaults: The experiment's own defaults, by flag, over those of the flags.

    Returns:
      The settings; None if help was asked for.

    Raises:
      ArgumentError: If a flag is unknown or its value cannot work.
    """
    values = _parse_values(arguments, defaults)
    if values is None:
        return None
    before = Path(values["workdir"]) / EFFECTIVE_FLAGS
    if values["workdir"] and os.path.isfile(before):
        values = _parse_values(arguments, {**defaults, **_settings_of_run(before, values["mode"])})
    return Settings(**_with_folder_as_dataset(values))


def _parse_values(
    arguments: Sequence[str], defaults: Mapping[str, Any], *, only_given: bool = False
) -> dict[str, Any] | None:
    """Values by flag, of all flags or only of those that are given; None if help was asked for."""
    values = absl_flags.FlagValues()
    for field in dataclasses.fields(Settings):
        _define(field, defaults.get(field.name, field.default), values)
    absl_flags.DEFINE_boolean("help", False, "Print this help.", short_name="h", flag_values=values)
    try:
        rest = values(["program", *_flagfiles_first(arguments)])[1:]
    except absl_flags.Error as error:
        raise _as_argument_error(error) from error
    if rest:
        raise ArgumentError("arguments", " ".join(rest), "must be flags", "write --name=value")
    if values["help"].value:
        return None
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = {
        name: values[name].value for name in names if values[name].present or not only_given
    }
    if "workdir" in settings:
        settings["workdir"] = settings["workdir"] or defaults.get("workdir", "")
    # The shell expands ~ only at the start of a word, and flagfiles never see a shell.
    for name in _PATHS & settings.keys():
        settings[name] = os.path.expanduser(settings[name])
    return settings


def _settings_of_run(flagfile: Path, mode: str) -> dict[str, Any]:
    """What a run was last started with, but for what belongs to that start alone."""
    try:
        values = _parse_values([f"--flagfile={flagfile}"], {}, only_given=True)
    except ArgumentError as error:
        raise ArgumentError(
            "workdir", flagfile.parent, f"holds settings that cannot be read: {error}", "mend them"
        ) from error
    names = {f.name for f in dataclasses.fields(Settings) if f.metadata["changes"] != EACH_START}
    if mode != "train":
        names -= _DEVICES
    return {name: value for name, value in values.items() if name in names}


def _with_folder_as_dataset(values: dict[str, Any]) -> dict[str, Any]:
    """A path as --dataset means a folder of pictures, or a file."""
    dataset = values["dataset"]
    if not re.match(r"[./~]", dataset) and os.sep not in dataset:
        return values
    if os.path.isdir(dataset):
        if values["data_dir"] not in ("", dataset):
            raise ArgumentError(
                "data_dir",
                values["data_dir"],
                f"must not name another folder than `dataset` ({dataset})",
                "leave one of them out",
            )
        return values | {"dataset": "folder", "data_dir": dataset}
    if dataset[0] in "./~" and not os.path.exists(dataset):
        raise ArgumentError(
            "dataset", dataset, "must be a folder of pictures or a file", "check the path"
        )
    return values


def help_text(defaults: Mapping[str, Any]) -> str:
    """All flags with their help and this experiment's defaults."""
    parts = ["--flagfile=FILE\n    Read flags from a file, one a line; flags given here win."]
    for field in dataclasses.fields(Settings):
        default = defaults.get(field.name, field.default)
        choices = field.metadata["choices"]
        domain = "|".join(choices) if choices else type(field.default).__name__
        text = f"{field.metadata['help']} Default: {default if default != '' else 'empty'}."
        body = textwrap.fill(text, 96, initial_indent="    ", subsequent_indent="    ")
        parts.append(f"--{field.name}=<{domain}>\n{body}")
    return "\n".join(parts)


def _define(field: dataclasses.Field, default: Any, values: absl_flags.FlagValues) -> None:
    help_words, kind = field.metadata["help"], type(field.default)
    if kind is int:
        absl_flags.DEFINE(_WholeNumberParser(), field.name, default, help_words, flag_values=values)
        return
    define = {
        bool: absl_flags.DEFINE_boolean,
        float: absl_flags.DEFINE_float,
        str: absl_flags.DEFINE_string,
    }[kind]
    define(field.name, default, help_words, flag_values=values)


class _WholeNumberParser(absl_flags.ArgumentParser):
    """Reads `1000`, and `1e3` too; says what is wrong with anything else."""

    def parse(self, argument: str | int) -> int:
        """The number, or a `ValueError` that absl passes on."""
        try:
            return int(argument)
        except ValueError:
            pass
        try:
            number = float(argument)
        except ValueError:
            number = float("nan")
        if not number.is_integer():
            raise ValueError("must be a whole number")
        return int(number)

    def flag_type(self) -> str:
        """What the flag takes."""
        return "int"


def _check(field: dataclasses.Field, value: Any) -> None:
    choices, above = field.metadata["choices"], field.metadata["above"]
    if choices and value not in choices:
        raise ArgumentError(
            field.name, value, "must be one of the known", f"use one of {', '.join(choices)}"
        )
    if above is not None and not above < value < float("inf"):
        rule = "must not be negative" if above < 0 else f"must be above {above}"
        raise ArgumentError(
            field.name, value, f"{rule}, and finite", f"the default is {field.default}"
        )


def _flagfiles_first(arguments: Sequence[str]) -> list[str]:
    """Flagfiles before flags: absl lets later ones win, and the command line shall."""
    files, flags, pending = [], [], False
    for argument in arguments:
        if pending or re.match(r"--?flagfile\b", argument):
            files.append(argument)
            pending = not pending and "=" not in argument
        else:
            flags.append(argument)
    return files + flags


def _as_argument_error(error: absl_flags.Error) -> ArgumentError:
    """An error of absl's in this project's form."""
    if isinstance(error, absl_flags.UnrecognizedFlagError):
        known = ["flagfile", *(field.name for field in dataclasses.fields(Settings))]
        meant = [f"--{name}" for name in flags_meant(error.flagname, known)]
        remedy = f"did you mean {' or '.join(meant)}?" if meant else "see --help"
        argument = error.flagvalue or f"--{error.flagname}"
        return ArgumentError("flag", argument, "is not known", remedy)
    value = re.match(r"flag --(\w+)=(.*): (must be a whole number)", str(error))
    if value:
        return ArgumentError(*value.groups(), "write 1000 or 1e3, say")
    text = " ".join(str(error).split())
    return ArgumentError("flags", text, "cannot be read", "see --help")
