"""Parser of command lines and flagfiles for any dataclass of flags."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from experiments.settings.flag import REQUIRED, Options, flag_of
from gan_core import ArgumentError

OptionsT = TypeVar("OptionsT", bound=Options)

_FLAG = re.compile(r"--?([^-=][^=]*)(?:=(.*))?", re.DOTALL)
_FLAGFILE = re.compile(r"--?flagfile(?:=(.*))?", re.DOTALL)
_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")


def parse(
    options_class: type[OptionsT],
    arguments: Sequence[str],
    defaults: Mapping[str, Any] | None = None,
) -> OptionsT | None:
    """Options from a command line.

    Args:
      options_class: A frozen dataclass whose fields are flags.
      arguments: The command line after the program's name.
      defaults: Defaults by flag that override those of the class.

    Returns:
      The options; None if `--help` was given.

    Raises:
      ArgumentError: If a flag is unknown or missing, or a value is not allowed.
    """
    given = parse_given(options_class, arguments)
    if given is None:
        return None
    return make_options(options_class, {**(defaults or {}), **given})


def make_options(options_class: type[OptionsT], values: Mapping[str, Any]) -> OptionsT:
    """Options from values by flag, with the class's defaults for the others.

    Raises:
      ArgumentError: If a required flag is missing, or a value is not allowed.
    """
    complete = {}
    for field in _fields(options_class):
        value = values.get(field.name, field.default)
        if value is REQUIRED:
            is_word = flag_of(field).takes == "word"
            remedy = f"give {'one word' if is_word else f'--{field.name}=VALUE'}; see --help"
            raise ArgumentError(field.name, "missing", "must be given", remedy)
        if flag_of(field).is_path:
            value = os.path.expanduser(value)
        complete[field.name] = float(value) if field.type == "float" else value
    return options_class(**complete)


def parse_given(options_class: type[Options], arguments: Sequence[str]) -> dict[str, Any] | None:
    """Values by name of the flags that a command line and its flagfiles name.

    The syntax is that of absl: `--name=value`, `--name value`, `--name` and `--noname` for a bool,
    with one dash or two. A flagfile holds an argument per line. The command line overrides
    flagfiles; otherwise the last value wins. Values are converted; their limits are not checked.

    Returns:
      The values; None if `--help` was given.

    Raises:
      ArgumentError: If an argument or a flagfile cannot be read, or a flag is unknown.
    """
    fields = _fields(options_class)
    named = {each.name: each for each in fields if flag_of(each).takes.startswith("value")}
    special = {flag_of(each).takes: each.name for each in fields if each.name not in named}
    given: dict[str, Any] = {}
    others: list[str] = []
    is_help = False
    words = iter(arguments if "rest" in special else _with_flagfiles(arguments))
    for word in words:
        match = _FLAG.fullmatch(word)
        name, text = match.groups() if match else ("", None)
        if name in ("help", "h") and text is None:
            is_help = True
            continue
        field = named.get(name)
        if field is None and text is None and name.startswith("no"):
            field, text = named.get(name[2:]), "false"
            field = field if field and field.type == "bool" else None
        if field is None:
            if match and "rest" not in special:
                raise _unknown(word, name, named.values())
            others.append(word)
            continue
        if text is None:
            text = "true" if field.type == "bool" else next(words, None)
        if text is None:
            raise ArgumentError("flag", word, "needs a value", f"write {word}=VALUE")
        value = _converted(field, text)
        is_repeated = flag_of(field).takes == "values"
        given[field.name] = (*given.get(field.name, ()), value) if is_repeated else value
    if "word" in special:
        found = next((word for word in others if not word.startswith("-")), None)
        if found is not None:
            others.remove(found)
            given[special["word"]] = found
    if "rest" in special:
        given[special["rest"]] = tuple(others)
    else:
        check_only_flags(others)
    return None if is_help else given


def check_only_flags(others: Sequence[str]) -> None:
    """Refuses arguments that are not flags."""
    if others:
        remedy = "write --name=value"
        raise ArgumentError("arguments", " ".join(others), "must be flags", remedy)


def has_flagfile(arguments: Sequence[str]) -> bool:
    """Whether a command line names a flagfile."""
    return any(map(_FLAGFILE.fullmatch, arguments))


def _fields(options_class: type[Options]) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(options_class)  # type: ignore[arg-type]


def _converted(field: dataclasses.Field, text: str) -> Any:
    """The value that a text means to a flag."""
    match = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", field.type)
    convert = _CONVERTERS[match[1] if match else field.type]
    if match and flag_of(field).takes == "value":
        items = [item.strip() for item in text.split(",")] if text else []
        return tuple(convert(field.name, item) for item in items)
    value = convert(field.name, text)
    # The shell expands ~ only at the start of a word, and flagfiles never see a shell.
    return os.path.expanduser(value) if flag_of(field).is_path else value


def _bool(name: str, text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ArgumentError(name, text, "must be true or false", "write true or false")
    return text.lower() in _TRUE


def _whole_number(name: str, text: str) -> int:
    """Reads `1000`, and `1e3` too."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not number.is_integer():
        raise ArgumentError(name, text, "must be a whole number", "write 1000 or 1e3, for example")
    return int(number)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(
            name, text, "must be a number", "write 0.5 or 2e-4, for example"
        ) from None


_CONVERTERS: dict[str, Callable[[str, str], Any]] = {
    "bool": _bool,
    "int": _whole_number,
    "float": _number,
    "str": lambda name, text: text,
}


def _with_flagfiles(arguments: Sequence[str]) -> list[str]:
    """Arguments after those of the flagfiles they name, so that they override them."""
    from_files: list[str] = []
    others: list[str] = []
    for path, word in _flagfiles(arguments):
        if path is None:
            others.append(word)
        else:
            from_files += _arguments_of(path, ())
    return from_files + others


def _flagfiles(words: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    """Each word, or the path of a flagfile in place of the words that name one."""
    left = iter(words)
    for word in left:
        match = _FLAGFILE.fullmatch(word)
        path = None if not match else next(left, "") if match[1] is None else match[1]
        yield (path if path is None else os.path.expanduser(path)), word


def _arguments_of(path: str, within: tuple[str, ...]) -> list[str]:
    """The arguments in a flagfile, with those of files that it names in their place."""
    real = os.path.realpath(path)
    if real in within:
        raise ArgumentError("flagfile", path, "must not name itself", "take the line out")
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except ValueError as error:
        rule = f"must be UTF-8 text ({error})"
        raise ArgumentError("flagfile", path, rule, "save it as UTF-8") from error
    except OSError as error:
        raise ArgumentError(
            "flagfile", path, f"cannot be read ({error})", "check the path"
        ) from error
    if lines and lines[0].startswith("\ufeff"):
        rule = "must not begin with a byte order mark"
        raise ArgumentError("flagfile", path, rule, "save it as UTF-8 without one")
    lines = [line for line in lines if line and not line.startswith(("#", "//"))]
    found: list[str] = []
    for nested, line in _flagfiles(lines):
        found += [line] if nested is None else _arguments_of(nested, (*within, real))
    return found


def _unknown(word: str, name: str, known: Collection[dataclasses.Field]) -> ArgumentError:
    """The error about an unknown flag, with the likeliest known ones.

    Names in other programs come first, then flags of which the typed words are a part
    (`batch_size`, `learning_rate`, `log_every`), then similar spellings.
    """
    typed = name.lower().replace("-", "_")
    names = ["flagfile", *(field.name for field in known)]
    aliased = [field.name for field in known if typed in flag_of(field).aliases.split()]
    part = f"_{typed}_"
    containing = [each for each in names if len(typed) > 3 and part in f"_{each}_"]
    if typed in names:
        meant = [typed]
    elif typed == "config":
        meant = ["flagfile"]
    else:
        meant = aliased or containing or difflib.get_close_matches(typed, names, n=2, cutoff=0.75)
    remedy = f"did you mean --{' or --'.join(meant)}?" if meant else "see --help"
    return ArgumentError("flag", word, "is not known", remedy)
