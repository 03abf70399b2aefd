"""`python -m experiments`: the list of experiments, modes, examples and tools."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from experiments.program.process import prepare_process
from experiments.settings.run import MODES, Run

_FOLDER = Path(__file__).parent


def overview() -> str:
    """All programs, a line each, and how to start them."""
    names = {path.name for path in (_FOLDER / "flagfiles").glob("*.flags")}
    # Every experiment has a flagfile of its name.
    experiments = (path for path in _modules(_FOLDER) if f"{path.stem}.flags" in names)
    examples = (
        path for path in _modules(_FOLDER / "examples") if path.stem not in ("common", "domains")
    )
    tools = [
        *(path.parent for path in _FOLDER.glob("tools/*/__main__.py")),
        _FOLDER / "tools" / "compare_folders.py",
    ]
    modes = [(f"--mode={name}", words) for name, words in MODES.items()]
    return "\n".join(
        [
            "Experiments: python -m experiments.<name> [flags]; --help lists the flags",
            _table(_described(experiments)),
            f"Modes ({Run.mode} by default):",
            _table(modes),
            "Examples of custom games and loops: python -m experiments.examples.<name> --help",
            _table(_described(examples)),
            "Tools: python -m experiments.tools.<name> --help",
            _table(_described(tools)),
            "To start without data or network, in about four minutes:",
            "  python -m experiments.svhn_dcgan --flagfile=experiments/flagfiles/quickstart.flags",
            "On your own pictures:",
            "  python -m experiments.image_folder_gan --dataset=PATH_OF_A_FOLDER"
            " --flagfile=experiments/flagfiles/image_folder_gan_leaky.flags",
        ]
    )


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("__"))


def _described(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Names of modules or programs in folders, and the first lines of their docstrings."""
    rows = []
    for path in paths:
        file = path / "__main__.py" if path.is_dir() else path
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        rows.append((path.stem, docstring.split("\n")[0]))
    return sorted(rows)


def _table(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {words}" for name, words in rows)


if __name__ == "__main__":
    prepare_process()
    print(overview())
