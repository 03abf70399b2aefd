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
_HELP = {"--help", "-help", "--h", "-h"}
_FLAGFILE = re.compile(r"--?flagfile(?:=(.*))?", re.DOTALL)


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
    fields = {field.name: field for field in _fields(options_class)}
    named = {name: f for name, f in fields.items() if flag_of(f).takes.startswith("value")}
    special = {flag_of(f).takes: name for name, f in fields.items() if name not in named}
    given: dict[str, Any] = {}
    others: list[str] = []
    words = iter(arguments if "rest" in special else _with_flagfiles(arguments))
    for word in words:
        field, text = _named_by(word, named)
        if field is None:
            others.append(word)
            continue
        text = next(words, None) if text is None else text
        if text is None:
            raise ArgumentError("flag", word, "needs a value", f"write {word}=VALUE")
        value = _converted(field, text)
        is_repeated = flag_of(field).takes == "values"
        given[field.name] = (*given.get(field.name, ()), value) if is_repeated else value
    is_help = not _HELP.isdisjoint(others)
    others = [word for word in others if word not in _HELP]
    found = next((word for word in others if not word.startswith("-")), None)
    if "word" in special and found is not None:
        others.remove(found)
        given[special["word"]] = found
    if "rest" in special:
        given[special["rest"]] = tuple(others)
    else:
        _check_none_left(others, named.values())
    return None if is_help else given


def _named_by(
    word: str, named: Mapping[str, dataclasses.Field]
) -> tuple[dataclasses.Field | None, str | None]:
    """The flag that an argument names, and the text of its value if the argument holds it."""
    match = _FLAG.fullmatch(word)
    name, text = match.groups() if match else ("", None)
    field = named.get(name)
    if text is None and field and field.type == "bool":
        return field, "true"
    if text is None and field is None and name.startswith("no"):
        field = named.get(name[2:])
        return (field, "false") if field and field.type == "bool" else (None, None)
    return field, text


def _check_none_left(others: Sequence[str], known: Collection[dataclasses.Field]) -> None:
    for word in others:
        if match := _FLAG.fullmatch(word):
            raise _unknown(word, match[1], known)
    check_only_flags(others)


def check_only_flags(others: Sequence[str]) -> None:
    """Refuses arguments that are not flags."""
    if others:
        remedy = "write --name=value"
        raise ArgumentError("arguments", " ".join(others), "must be flags", remedy)


def has_flagfile(arguments: Sequence[str]) -> bool:
    """True if a command line names a flagfile."""
    return any(map(_FLAGFILE.fullmatch, arguments))


def _fields(options_class: type[Options]) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(options_class)  # type: ignore[arg-type]


def _converted(field: dataclasses.Field, text: str) -> Any:
    """The value that a text means to a flag."""
    items = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", field.type)
    kind = items[1] if items else field.type
    if items and flag_of(field).takes == "value":
        texts = text.split(",") if text else []
        return tuple(_value(field.name, item.strip(), kind) for item in texts)
    value = _value(field.name, text, kind)
    # The shell expands ~ only at the start of a word, and flagfiles never see a shell.
    return os.path.expanduser(value) if flag_of(field).is_path else value


def _value(name: str, text: str, kind: str) -> Any:
    convert, rule, remedy = _KINDS[kind]
    try:
        return convert(text)
    except (ValueError, KeyError):
        raise ArgumentError(name, text, rule, remedy) from None


def _whole_number(text: str) -> int:
    """Reads `1000`, and `1e3` too."""
    try:
        return int(text)
    except ValueError:
        if not float(text).is_integer():
            raise
        return int(float(text))


_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_KINDS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "bool": (lambda text: _BOOLS[text.lower()], "must be true or false", "write true or false"),
    "int": (_whole_number, "must be a whole number", "write 1000 or 1e3, for example"),
    "float": (float, "must be a number", "write 0.5 or 2e-4, for example"),
    "str": (str, "", ""),
}
"""Converter of each kind of value, the rule it enforces, and the remedy."""


def _with_flagfiles(arguments: Sequence[str]) -> list[str]:
    """Arguments after those of the flagfiles they name, so that they override them."""
    found = list(_expanded(arguments, ()))
    from_files = [word for is_from_file, word in found if is_from_file]
    return from_files + [word for is_from_file, word in found if not is_from_file]


def _expanded(words: Sequence[str], within: tuple[str, ...]) -> Iterator[tuple[bool, str]]:
    """Words, with the lines of flagfiles in place of those that name them.

    Args:
      words: Arguments.
      within: The flagfiles that they are from, as real paths, the outermost first.

    Yields:
      Whether a word is from a flagfile, and the word.
    """
    left = iter(words)
    for word in left:
        match = _FLAGFILE.fullmatch(word)
        if not match:
            yield bool(within), word
            continue
        path = os.path.expanduser(next(left, "") if match[1] is None else match[1])
        real = os.path.realpath(path)
        if real in within:
            raise ArgumentError("flagfile", path, "must not name itself", "take the line out")
        yield from _expanded(_lines(path), (*within, real))


def _lines(path: str) -> list[str]:
    """The lines of a flagfile that hold arguments."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except ValueError as error:
        rule = f"must be UTF-8 text ({error})"
        raise ArgumentError("flagfile", path, rule, "save it as UTF-8") from error
    except OSError as error:
        rule = f"cannot be read ({error})"
        raise ArgumentError("flagfile", path, rule, "check the path") from error
    if lines and lines[0].startswith("\ufeff"):
        rule = "must not begin with a byte order mark"
        raise ArgumentError("flagfile", path, rule, "save it as UTF-8 without one")
    return [line for line in lines if line and not line.startswith(("#", "//"))]


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
