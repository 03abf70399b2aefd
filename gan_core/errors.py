"""`ArgumentError`, whose message names the remedy, and common checks of arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable


class ArgumentError(ValueError):
    """An invalid argument, reported as argument, value, rule and remedy.

    The message is always `` `argument` (value) rule; remedy. ``, for example
    `` `steps_per_call` (30) must divide `log_every_steps` (100); use 20, 25 or 50. ``

    Args:
      argument: Name of the argument or flag, without backticks.
      value: The value given.
      rule: The violated rule, starting with a verb.
      remedy: The correction, without a full stop; or a question.
    """

    def __init__(self, argument: str, value: object, rule: str, remedy: str):
        end = "" if remedy.endswith("?") else "."
        text = f"`{argument}` ({_shortened(str(value))}) {_shortened(rule, 4000)}; {remedy}{end}"
        super().__init__("\\n".join(text.splitlines()))
        self.argument = argument


def _shortened(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[: length // 2]} ... {text[-length // 2 :]}"


def check_positive(argument: str, value: float, remedy: str = "give a larger value") -> None:
    """Raises `ArgumentError` unless `value` is above zero."""
    if not value > 0:
        raise ArgumentError(argument, value, "must be above 0", remedy)


def check_known(argument: str, value: str, known: Iterable[str]) -> None:
    """Raises `ArgumentError`, which lists the `known` names, unless `value` is one of them."""
    names = list(known)
    if value not in names:
        raise ArgumentError(argument, value, "is not recognised", f"use one of {', '.join(names)}")


def check_divides(divisor_name: str, divisor: int, multiple_name: str, multiple: int) -> None:
    """Raises `ArgumentError`, which names the nearest divisors, unless `divisor` is one."""
    if multiple % divisor == 0:
        return
    small = [n for n in range(1, math.isqrt(multiple) + 1) if multiple % n == 0]
    fitting = {*small, *(multiple // n for n in small)}
    nearest = sorted(sorted(fitting, key=lambda n: max(n / divisor, divisor / n))[:3])
    words = " or ".join(filter(None, [", ".join(map(str, nearest[:-1])), str(nearest[-1])]))
    raise ArgumentError(
        divisor_name, divisor, f"must divide `{multiple_name}` ({multiple})", f"use {words}"
    )
