"""Help text of any dataclass of flags."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from experiments.settings.flag import REQUIRED, Options, flag_of

_WIDEST = 100
_INDENT = "    "
_FLAGFILE = "Read flags from a file, one per line; flags on the command line override them."


def help_text(
    options_class: type[Options], description: str = "", defaults: Mapping[str, Any] | None = None
) -> str:
    """Description and flags with their help, in the width of the terminal.

    Flags that base classes declare are grouped under the first line of the base's docstring.
    """
    paragraphs = description.strip().split("\n\n") if description else []
    # Indented paragraphs are commands and stay as they are.
    parts = [f"{p if p.startswith(' ') else _filled(p)}\n" for p in paragraphs]
    fields = dataclasses.fields(options_class)  # type: ignore[arg-type]
    if not any(flag_of(field).takes == "rest" for field in fields):
        parts.append(f"--flagfile=<file>\n{_filled(_FLAGFILE, _INDENT)}")
    found, heading = documented_flags(options_class), ""
    for field in fields:
        owner, words = found[field.name]
        topic = "" if owner is options_class else (owner.__doc__ or "").split("\n")[0].rstrip(".")
        if topic != heading:
            heading = topic
            parts.append(f"\n{heading}")
        choices = flag_of(field).choices
        if isinstance(choices, Mapping):
            words += " " + "; ".join(f"{name}: {about}" for name, about in choices.items()) + "."
        words += " " + _describe_default((defaults or {}).get(field.name, field.default))
        parts.append(f"{_title(field)}\n{_filled(words, _INDENT)}")
    return "\n".join(parts)


def documented_flags(options_class: type[Options]) -> dict[str, tuple[type, str]]:
    """The class that declares each flag and the flag's help, by name.

    The help is the docstring below the field, which Python keeps in the source only.
    """
    found = {}
    for owner in options_class.__mro__[:-1]:
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body
        for node, below in itertools.pairwise(body):
            match node, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(words))):
                    found[name] = owner, " ".join(words.split())
    return found


def _filled(text: str, indent: str = "") -> str:
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    indents = {"initial_indent": indent, "subsequent_indent": indent}
    return textwrap.fill(text, width, break_on_hyphens=False, **indents)


def _title(field: dataclasses.Field) -> str:
    row = flag_of(field)
    if row.takes == "rest":
        return "other flags"
    if row.takes == "word":
        return field.name
    kind = field.type.replace("tuple[", "").replace(", ...]", ",...")
    return f"--{field.name}=<{'|'.join(row.choices) or ','.join(row.items) or kind}>"


def _describe_default(default: Any) -> str:
    if default is REQUIRED:
        return "Required."
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"Default: {text or 'empty'}."
