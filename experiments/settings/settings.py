"""All settings of a run, read from defaults, flagfiles, the run's folder and the command line."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.settings.data import Data, resolve_dataset
from experiments.settings.devices import Devices
from experiments.settings.evaluation import Evaluation
from experiments.settings.flag import EACH_START, FREELY, IF_ALLOWED, NEVER, Changes, flag_of
from experiments.settings.game import Game
from experiments.settings.optimizers import Optimizers, resolve_decay
from experiments.settings.parse import has_flagfile, make_options, parse_given
from experiments.settings.run import Run
from gan_core import ArgumentError, check_divides
from gan_core.run import newest_facts, step_paths

EFFECTIVE_FLAGS = "effective.flags"
"""The flagfile in a run's folder, with the settings that it was last started with."""

BestFlagfile = Callable[[str], Path]
"""From the networks' name to the flagfile with the best settings for them, which may not exist."""


# Fields come in the order of the bases from the last to the first: so does the help.
@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Evaluation, Devices, Optimizers, Game, Data, Run):
    """All settings of one run. A field is a flag of the same name.

    Raises:
      ArgumentError: If a value is not allowed, or two values do not fit each other.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        name, interval = "evaluate_every_steps", self.evaluate_every_steps
        check_divides("steps_per_call", self.steps_per_call, name, interval)

    def changes_from(self, before: Mapping[str, Any]) -> dict[Changes, list[str]]:
        """Differences from a run's settings, as `<name>: was <value>, now <value>`.

        Returns:
          Lines under `IF_ALLOWED` and `NEVER`; settings that change freely are left out.
        """
        changes: dict[Changes, list[str]] = {IF_ALLOWED: [], NEVER: []}
        for field in dataclasses.fields(self):
            now, rule = getattr(self, field.name), flag_of(field).changes
            # A setting that did not exist when a run was saved had today's default.
            was = before.get(field.name, field.default)
            if field.name == "precision" and "mixed_float16" in (was, now):
                rule = NEVER  # loss scaling is part of the checkpoint
            if rule in changes and was != now:
                changes[rule].append(f"{field.name}: was {was}, now {now}")
        return changes

    def shared_by_workers(self) -> dict[str, Any]:
        """Settings in which all workers of a run must agree."""
        rules = (FREELY, IF_ALLOWED, NEVER)
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if flag_of(f).changes in rules}

    def as_dict(self) -> dict[str, Any]:
        """Values by name."""
        return dataclasses.asdict(self)

    def as_flagfile(self) -> str:
        """The text of a flagfile with the same effect."""
        lines = []
        for name, value in self.as_dict().items():
            lines.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
        return "\n".join(lines) + "\n"


_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def read_settings(
    arguments: Sequence[str], defaults: Mapping[str, Any], best: BestFlagfile | None = None
) -> Settings | None:
    """Settings from a command line, over those of the run in its workdir.

    From the lowest precedence to the highest: defaults of flags, `defaults`, the best flagfile or
    the run in the workdir, the flagfiles named, flags.

    Args:
      arguments: The command line after the program's name.
      defaults: Defaults of the experiment by flag.
      best: The flagfile used if `arguments` name none.

    Returns:
      The settings; None if `--help` was given.

    Raises:
      ArgumentError: If a flag is unknown or a value is not allowed.
    """
    given = parse_given(Settings, arguments)
    if given is None:
        return None
    values = with_best(given, defaults, None if has_flagfile(arguments) else best) | given
    workdir = values.get("workdir") or os.path.expanduser(defaults.get("workdir", ""))
    if workdir and _holds_run(Path(workdir)):
        of_run = _settings_of_run(Path(workdir), values.get("mode", Settings.mode))
        values = {**defaults, **_without_unused(of_run, given), **given}
    values = resolve_dataset(values | {"workdir": workdir}, given)
    values = resolve_decay(values, values.get("total_steps", Settings.total_steps))
    return make_options(Settings, values)


def with_best(
    given: Mapping[str, Any], defaults: Mapping[str, Any], best: BestFlagfile | None
) -> dict[str, Any]:
    """Defaults overridden by those of the best flagfile.

    Settings that the given ones turn off are left out, such as the probability of augmentation;
    with another dataset than the flagfile's also those that describe it, such as labels.
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
    return {name: v for name, v in found.items() if not flag_of(_FIELDS[name]).describes_data}


def _without_unused(found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings found, without those that the given ones turn off."""
    off = {name: flag_of(_FIELDS[name]).unless for name in found}
    return {
        name: value
        for name, value in found.items()
        if not (off[name] and given.get(off[name][0]) == off[name][1])
    }


def _holds_run(workdir: Path) -> bool:
    """True if a start in a folder saved a checkpoint: flags of one that did not are ignored."""
    return os.path.isfile(workdir / EFFECTIVE_FLAGS) and bool(step_paths(workdir / "checkpoints"))


def _settings_of_run(workdir: Path, mode: str) -> dict[str, Any]:
    """The settings that a run was last started with, except those of that start alone."""
    try:
        values = parse_given(Settings, [f"--flagfile={workdir / EFFECTIVE_FLAGS}"]) or {}
    except ArgumentError as error:
        rule = f"holds settings that cannot be read: {error}"
        raise ArgumentError("workdir", workdir, rule, f"correct {EFFECTIVE_FLAGS}") from error
    rules = {name: flag_of(field) for name, field in _FIELDS.items()}
    saved = (newest_facts(workdir / "checkpoints") or {}).get("settings", {})
    guarded = {name for name, rule in rules.items() if rule.changes in (IF_ALLOWED, NEVER)}
    if any(values[name] != saved[name] for name in guarded & values.keys() & saved.keys()):
        # The weights were trained with others: that start ended before it saved any of its own.
        words = "the last start ended before its first checkpoint: its settings are ignored"
        print(f"{workdir}: {words}", file=sys.stderr)
        values = saved
    return {
        name: value
        for name, value in values.items()
        if name in rules
        and rules[name].changes is not EACH_START
        and (mode == "train" or not rules[name].training_only)
    }
