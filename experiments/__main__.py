"""`python -m experiments`: which experiments and programs there are, and how they are started."""

from __future__ import annotations

import ast
from pathlib import Path

_FOLDER = Path(__file__).parent
_PROGRAMS = {
    "crash_test": "experiments.crash_test",
    "benchmark/__main__": "experiments.benchmark",
}


def overview() -> str:
    """What there is to run, a line each."""
    experiments = [
        (path.stem, _first_line(path))
        for path in sorted(_FOLDER.glob("*.py"))
        if "\nEXPERIMENT = " in path.read_text(encoding="utf-8")
    ]
    programs = [
        (module.removeprefix("experiments."), _first_line(_FOLDER / f"{file}.py"))
        for file, module in _PROGRAMS.items()
    ]
    modes = [
        ("--mode=train", "train, or go on where the run in --workdir stopped (the default)"),
        ("--mode=generate", "pictures from a run's newest checkpoint"),
        ("--mode=info", "networks, data, devices and settings, without training"),
    ]
    return "\n".join(
        [
            "Experiments: python -m experiments.<name> [flags]; --help lists its flags",
            _table(experiments),
            "Modes:",
            _table(modes),
            "Other programs: python -m experiments.<name> [flags]",
            _table(programs),
            "For a start without data or network, about five minutes:",
            "  python -m experiments.svhn_dcgan --flagfile=experiments/flagfiles/quickstart.flags",
            "On your own pictures:",
            "  python -m experiments.image_folder_gan --dataset=PATH_OF_A_FOLDER",
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
