"""Declaration of a command-line flag: allowed values, and changes on resume."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Collection
from typing import Any

from gan_core import ArgumentError, check_known

REQUIRED = dataclasses.MISSING
"""Default of a flag that must be given."""

_MOST = 1e12
"""Default upper limit of numbers of steps, images and bytes."""


class Changes(enum.Enum):
    """Rule for resuming a run with another value than it was started with."""

    EACH_START = "not a setting of the run: not read from the run's folder on resume"
    EACH_MACHINE = "changes freely, and workers may differ; in those below they must agree"
    FREELY = "changes freely"
    IF_ALLOWED = "changes with --allow_changes"
    NEVER = "must match on resume"


EACH_START, EACH_MACHINE, FREELY, IF_ALLOWED, NEVER = Changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """Metadata of a flag; its name, type and default are those of the dataclass field.

    Attributes:
      changes: Rule for other values on resume.
      choices: Allowed values, with a description each if it is a mapping; any if empty.
      items: Allowed values in a comma-separated text; any if empty.
      above: Exclusive lower limit of numbers.
      at_least: Inclusive lower limit; no flag is negative.
      below: Exclusive upper limit.
      at_most: Inclusive upper limit.
      takes: The part of a command line that it takes: a "value" as `--name=value`; "values" of a
        tuple, one per `--name=value`; the one "word" that is no flag; or the "rest", all arguments
        that are not known, flagfiles included.
      is_path: Whether `~` is expanded.
      aliases: Names in other programs, separated by spaces, for hints about unknown flags.
      describes_data: Whether it applies to one dataset: a flagfile's value is ignored with others.
      training_only: Whether the run's value is used only when training.
      unless: Name and value of another flag that turn this one off: its saved value is ignored.
    """

    changes: Changes = EACH_START
    choices: Collection[str] = ()
    items: Collection[str] = ()
    above: float = -math.inf
    at_least: float = 0
    below: float = math.inf
    at_most: float = _MOST
    takes: str = "value"
    is_path: bool = False
    aliases: str = ""
    describes_data: bool = False
    training_only: bool = False
    unless: tuple[str, Any] | None = None


class Options:
    """Base of frozen, keyword-only dataclasses whose fields are flags.

    A field is declared with `flag`, and its help is the docstring below it. Its annotation is
    `bool`, `int`, `float`, `str`, or `tuple[..., ...]` of one of them, which is given as
    comma-separated values. Subclasses that check further rules extend `__post_init__`.

    Raises:
      ArgumentError: If a value is not allowed.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else [value]:
                _check(field, item)


def flag(default: Any, changes: Changes = EACH_START, **attributes: Any) -> Any:
    """Dataclass field that is a flag; `attributes` are those of `Flag`."""
    row = Flag(changes=changes, **attributes)
    return dataclasses.field(default=default, metadata={"flag": row})


def flag_of(field: dataclasses.Field) -> Flag:
    """The flag that a field declares."""
    found: Flag = field.metadata["flag"]
    return found


def _check(field: dataclasses.Field, value: Any) -> None:
    row = flag_of(field)
    if row.choices:
        check_known(field.name, value, row.choices)
    if row.items:
        for item in filter(None, value.split(",")):
            check_known(field.name, item, row.items)
    if isinstance(value, str):
        _check_text(field.name, value)
    elif not isinstance(value, bool):
        rule = _broken_rule(row, value)
        if rule:
            is_required = field.default is REQUIRED
            remedy = "give another number" if is_required else f"the default is {field.default}"
            raise ArgumentError(field.name, value, rule, remedy)


def _broken_rule(row: Flag, value: float) -> str | None:
    if not (value > row.above and value >= row.at_least and value < math.inf):  # NaN too
        least = f"above {row.above}" if row.above >= row.at_least else f"{row.at_least} or more"
        return f"must be {least}, and finite"
    if value >= row.below:
        return f"must be below {row.below:,}"
    return f"must be {row.at_most:,.0f} at most" if value > row.at_most else None


def _check_text(name: str, value: str) -> None:
    """Refuses text that a line of `effective.flags` cannot hold."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(name, value, "must be UTF-8", "rename it") from error
    if value != value.strip() or re.search(r"[\x00-\x1f\x7f]", value):
        rule = "must have no spaces around it, and no line breaks or other control characters"
        raise ArgumentError(name, repr(value), rule, "rename it")
