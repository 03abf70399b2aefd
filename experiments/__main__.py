"""`python -m experiments`: which experiments and programs there are, and how they are started."""

from __future__ import annotations

import ast
from pathlib import Path

from experiments.settings.settings import MODES, Settings

_FOLDER = Path(__file__).parent
_PROGRAMS = {
    "crash_test": "tools/crash_test/__main__.py",
    "benchmark": "tools/benchmark/__main__.py",
    "compare_folders": "tools/compare_folders.py",
    "search": "tools/search/__main__.py",
    "time_to_quality": "tools/time_to_quality/__main__.py",
}


def overview() -> str:
    """What there is to run, a line each."""
    experiments = [
        (path.stem, _first_line(path))
        for path in sorted(_FOLDER.glob("*.py"))
        if "\nEXPERIMENT = " in path.read_text(encoding="utf-8")
    ]
    examples = [
        (path.stem, _first_line(path))
        for path in sorted((_FOLDER / "examples").glob("*.py"))
        if path.stem not in ("__init__", "common")
    ]
    programs = [(name, _first_line(_FOLDER / file)) for name, file in _PROGRAMS.items()]
    modes = [(f"--mode={name}", words) for name, words in MODES.items()]
    return "\n".join(
        [
            "Experiments: python -m experiments.<name> [flags]; --help lists its flags",
            _table(experiments),
            f"Modes ({Settings.mode} where none is named):",
            _table(modes),
            "Examples of games of one's own: python -m experiments.examples.<name> --help",
            _table(examples),
            "Other programs: python -m experiments.tools.<name> [flags]",
            _table(programs),
            "For a start without data or network, about four minutes:",
            "  python -m experiments.svhn_dcgan --flagfile=experiments/flagfiles/quickstart.flags",
            "On your own pictures:",
            "  python -m experiments.image_folder_gan --dataset=PATH_OF_A_FOLDER"
            " --flagfile=experiments/flagfiles/image_folder_gan_leaky.flags",
        ]
    )


def _first_line(path: Path) -> str:
    """The first line of a module's docstring; nothing is imported for it."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0]


def _table(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {words}" for name, words in rows)


if __name__ == "__main__":
    print(overview())
