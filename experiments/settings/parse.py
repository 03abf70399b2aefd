"""Settings from the command line, flagfiles and the run in the workdir; their help."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from experiments.settings.flag import EACH_START, IF_ALLOWED, NEVER, flag_of
from experiments.settings.flag_hints import flags_meant
from experiments.settings.settings import Settings
from gan_core import ArgumentError
from gan_core.run import newest_facts, step_paths

EFFECTIVE_FLAGS = "effective.flags"
_PATHS = {"workdir", "dataset", "data_dir", "cache_dir", "output"}
BestFlagfile = Callable[[str], Path]
"""The name of networks -> the flagfile with the best settings for them; it may not be there."""

_FLAGFILE = re.compile(r"--?flagfile\b")
_OF_THE_DATA = {"split", "crop", "flip", "num_classes", "evaluation_split", "extractor"}
_DEVICES = {"strategy", "virtual_devices"}
_WITHOUT_MEANING = {
    ("augment", ""): {"augment_probability", "augment_target"},
    ("learning_rate_schedule", "constant"): {
        "learning_rate_decay_steps",
        "learning_rate_final_share",
    },
    ("evaluate_every_steps", 0): {"stop_after_no_improvement", "on_collapse"},
}
"""By a flag and its value, others that mean nothing with it."""


def parse(
    arguments: Sequence[str], defaults: Mapping[str, Any], best: BestFlagfile | None = None
) -> Settings | None:
    """Settings from, each over the one before: defaults, the run in the workdir, flagfiles, flags.

    Args:
      arguments: The command line after the program's name.
      defaults: The experiment's own defaults, by flag, over those of the flags.
      best: The flagfile over these where `arguments` name none, by the networks' name.

    Returns:
      The settings; None if help was asked for.

    Raises:
      ArgumentError: If a flag is unknown or its value cannot work.
    """
    values = _parse_values(arguments, with_best(arguments, defaults, best))
    if values is None:
        return None
    workdir = Path(values["workdir"])
    before = workdir / EFFECTIVE_FLAGS
    given = _parse_values(arguments, {}, only_given=True) or {}
    # A start that left no checkpoint left no run: what it was told does not count any more.
    if values["workdir"] and os.path.isfile(before) and step_paths(workdir / "checkpoints"):
        of_run = _with_meaning(_settings_of_run(workdir, values["mode"]), given)
        values = _parse_values(arguments, {**defaults, **of_run})
    return Settings(**_with_end_of_decay(_with_folder_as_dataset(values, given)))


def with_best(
    arguments: Sequence[str], defaults: Mapping[str, Any], best: BestFlagfile | None
) -> Mapping[str, Any]:
    """Defaults with those of the best flagfile over them, where `arguments` name no flagfile.

    What means nothing with what is given is left out: where augmentation is turned off, its
    probability; with other data than the flagfile's what belongs to its data, labels, say.
    """
    if best is None or any(map(_FLAGFILE.match, arguments)):
        return defaults
    given = _parse_values(arguments, {}, only_given=True) or {}
    path = best(given.get("networks", Settings.networks))
    if not path.exists():
        return defaults
    found = {**defaults, **(_parse_values([f"--flagfile={path}"], {}, only_given=True) or {})}
    found = _with_meaning(found, given)
    own = found.get("dataset", Settings.dataset)
    dataset = given.get("dataset", own)
    if dataset == own or (own == "folder" and os.path.isdir(dataset)):
        return found
    return {name: value for name, value in found.items() if name not in _OF_THE_DATA}


def _with_meaning(found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was found of settings, without what means nothing with those that are given."""
    for (name, value), others in _WITHOUT_MEANING.items():
        if given.get(name) == value:
            found = {each: kept for each, kept in found.items() if each not in others}
    return dict(found)


def check_only_flags(rest: Sequence[str]) -> None:
    """Refuses what of a command line absl took for no flag: it would be ignored."""
    if rest:
        raise ArgumentError("arguments", " ".join(rest), "must be flags", "write --name=value")


def _parse_values(
    arguments: Sequence[str], defaults: Mapping[str, Any], *, only_given: bool = False
) -> dict[str, Any] | None:
    """Values by flag, of all flags or only of those that are given; None if help was asked for."""
    _check_flagfiles(arguments, ())
    values = absl_flags.FlagValues()
    for field in dataclasses.fields(Settings):
        _define(field, defaults.get(field.name, field.default), values)
    absl_flags.DEFINE_boolean("help", False, "Print this help.", short_name="h", flag_values=values)
    try:
        rest = values(["program", *_flagfiles_first(arguments)])[1:]
    except absl_flags.Error as error:
        raise _as_argument_error(error) from error
    check_only_flags(rest)
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


def _settings_of_run(workdir: Path, mode: str) -> dict[str, Any]:
    """What a run was last started with, but for what belongs to that start alone."""
    flagfile = workdir / EFFECTIVE_FLAGS
    try:
        values = _parse_values([f"--flagfile={flagfile}"], {}, only_given=True)
    except ArgumentError as error:
        raise ArgumentError(
            "workdir", workdir, f"holds settings that cannot be read: {error}", "mend them"
        ) from error
    fields = dataclasses.fields(Settings)
    saved = (newest_facts(workdir / "checkpoints") or {}).get("settings", {})
    guarded = {field.name for field in fields if flag_of(field).changes in (IF_ALLOWED, NEVER)}
    if any(values[name] != saved[name] for name in guarded & values.keys() & saved.keys()):
        # The weights were trained with others: that start ended before it saved any of its own.
        words = "the last start ended before its first checkpoint: its settings are not taken"
        print(f"{workdir}: {words}", file=sys.stderr)
        values = saved
    names = {field.name for field in fields if flag_of(field).changes != EACH_START}
    if mode != "train":
        names -= _DEVICES
    return {name: value for name, value in values.items() if name in names}


def _with_folder_as_dataset(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A path as --dataset means a folder of pictures, or a file.

    It comes over the --data_dir of the run in the workdir, and not over one that is `given` now.
    """
    dataset = values["dataset"]
    if not re.match(r"[./~]", dataset) and os.sep not in dataset:
        return values
    if os.path.isdir(dataset):
        if given.get("data_dir", "") not in ("", dataset):
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


def _with_end_of_decay(values: dict[str, Any]) -> dict[str, Any]:
    """Writes down where a decay ends, so that a larger --total_steps does not stretch it later."""
    if values["learning_rate_schedule"] == "constant" or values["learning_rate_decay_steps"]:
        return values
    return values | {"learning_rate_decay_steps": values["total_steps"]}


def help_text(defaults: Mapping[str, Any]) -> str:
    """All flags with their help and this experiment's defaults."""
    parts = ["--flagfile=FILE\n    Read flags from a file, one a line; flags given here win."]
    for field in dataclasses.fields(Settings):
        default = defaults.get(field.name, field.default)
        row = flag_of(field)
        domain = "|".join(row.choices) or type(field.default).__name__
        text = f"{row.help} Default: {default if default != '' else 'empty'}."
        body = textwrap.fill(text, 96, initial_indent="    ", subsequent_indent="    ")
        parts.append(f"--{field.name}=<{domain}>\n{body}")
    return "\n".join(parts)


def _define(field: dataclasses.Field, default: Any, values: absl_flags.FlagValues) -> None:
    help_words, kind = flag_of(field).help, type(field.default)
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


def _flagfiles_first(arguments: Sequence[str]) -> list[str]:
    """Flagfiles before flags: absl lets later ones win, and the command line shall."""
    files, flags, pending = [], [], False
    for argument in arguments:
        if pending or _FLAGFILE.match(argument):
            files.append(argument)
            pending = not pending and "=" not in argument
        else:
            flags.append(argument)
    return files + flags


def _check_flagfiles(arguments: Sequence[str], within: tuple[str, ...]) -> None:
    """Refuses what absl would stumble over: other encodings, and files that name each other."""
    pending = False
    for argument in arguments:
        match = re.match(r"--?flagfile=(.*)", argument)
        is_name, pending = pending, argument in ("--flagfile", "-flagfile")
        if not (match or is_name):
            continue
        path = os.path.expanduser(match[1] if match else argument)
        real = os.path.realpath(path)
        if real in within:
            raise ArgumentError("flagfile", path, "must not name itself", "take the line out")
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except ValueError as error:
            rule = f"must be UTF-8 text ({error})"
            raise ArgumentError("flagfile", path, rule, "save it as UTF-8") from error
        except OSError:
            continue  # absl says so
        if lines and lines[0].startswith("\ufeff"):
            rule = "must not begin with a byte order mark"
            raise ArgumentError("flagfile", path, rule, "save it as UTF-8 without one")
        _check_flagfiles(lines, (*within, real))


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
