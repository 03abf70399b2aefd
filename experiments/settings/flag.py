"""One flag: what it says, what may be given, and whether a run may change it."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Collection
from typing import Any

from gan_core import ArgumentError, check_known

_MOST = 1e12
"""No number of steps, images or bytes is larger."""


class Changes(enum.Enum):
    """Whether a run may go on with another value than it was started with."""

    EACH_START = "it is no setting of the run: a later start does not read it from its folder"
    EACH_MACHINE = "without a question, and workers may differ; in those below they must agree"
    FREELY = "without a question"
    IF_ALLOWED = "with --allow_changes"
    NEVER = "no: that is another run"


EACH_START, EACH_MACHINE, FREELY, IF_ALLOWED, NEVER = Changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """A flag, beside its name and its default.

    Attributes:
      help: What it does, in whole sentences.
      changes: Whether a run may change it.
      choices: What may be given; anything of the default's type where empty.
      above: A number must be larger than this.
      at_least: It must be this or more.
      below: It must be smaller than this.
      at_most: It must be this or less.
    """

    help: str
    changes: Changes
    choices: Collection[str] = ()
    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    at_most: float = _MOST


def flag(default: Any, help_text: str, *, changes: Changes, **limits: Any) -> Any:
    """A dataclass's field that is a flag; `limits` are the other attributes of a `Flag`."""
    row = Flag(help=help_text, changes=changes, **limits)
    return dataclasses.field(default=default, metadata={"flag": row})


def flag_of(field: dataclasses.Field) -> Flag:
    """The flag that a field is."""
    found: Flag = field.metadata["flag"]
    return found


def check_value(field: dataclasses.Field, value: Any) -> None:
    """Raises `ArgumentError` if a value is none that its flag may have."""
    row = flag_of(field)
    if row.choices:
        check_known(field.name, value, row.choices)
    if isinstance(value, str):
        _check_text(field.name, value)
    elif not isinstance(value, bool):
        rule = _broken_rule(row, value)
        if rule:
            raise ArgumentError(field.name, value, rule, f"the default is {field.default}")


def _broken_rule(row: Flag, value: float) -> str | None:
    if not (value > row.above and value >= row.at_least and value < math.inf):  # NaN too
        least = f"above {row.above}" if row.above > row.at_least else f"{row.at_least} or more"
        return f"must be {least}, and finite"
    if value >= row.below:
        return f"must be below {row.below:,}"
    return f"must be {row.at_most:,.0f} at most" if value > row.at_most else None


def _check_text(name: str, value: str) -> None:
    """Refuses what a line of a flagfile, which each run keeps, could not hold."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ArgumentError(name, value, "must be UTF-8", "rename it") from error
    if value != value.strip() or re.search(r"[\x00-\x1f\x7f]", value):
        rule = "must have no spaces around it, and no line breaks or other control characters"
        raise ArgumentError(name, repr(value), rule, "rename it")
