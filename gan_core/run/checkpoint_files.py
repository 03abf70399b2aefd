"""The files of checkpoints: their names, facts and manifests, read without TensorFlow."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_core.errors import ArgumentError
from gan_core.files import checksum, may_pass, read_json_object

_ALWAYS_THERE = {"facts.json", "variables.index"}

Facts = dict[str, Any]
"""What is kept beside the variables, as JSON: the experiment and its data, say."""


def step_paths(folder: Path, ending: str = "") -> list[Path]:
    """Folders `step_<step>`, or files `step_<step><ending>`, in the order of the steps.

    What else has such a name, a link, say, is none of ours.
    """
    name = re.compile(rf"step_\d+{re.escape(ending)}")
    is_ours = Path.is_file if ending else Path.is_dir
    found = (p for p in folder.glob("step_*") if name.fullmatch(p.name) and not p.is_symlink())
    return sorted(filter(is_ours, found), key=step_of)


def step_of(path: Path) -> int:
    """The number in the name of a file or folder `step_<step>`."""
    return int(path.stem.removeprefix("step_"))


def newest_facts(folder: Path) -> Facts | None:
    """The facts of the newest checkpoint that has any, its other files unseen: an early answer."""
    for path in reversed(step_paths(folder)):
        try:
            return read_facts(path)
        except ArgumentError:
            continue
    return None


def find_checkpoint(folder: Path, which: str | int | Path) -> Path:
    """The checkpoint called `newest` or `best`, of a step, or at a path; its files unseen.

    Raises:
      ArgumentError: If there is none.
    """
    paths = step_paths(folder)
    path: Path | None
    if isinstance(which, Path):
        path = which
    elif which in ("newest", "best"):
        path = best_of(paths) if which == "best" else next(reversed(paths), None)
    else:
        path = next((p for p in paths if str(step_of(p)) == str(which)), None)
    if path is None or not path.is_dir():
        steps = ", ".join(str(step_of(path)) for path in paths) or "none"
        raise ArgumentError(
            "checkpoint",
            which,
            f"is not in {folder}, where there are: {steps}"
            + (" (none was saved with a score)" if which == "best" else ""),
            "name a step that is there, newest or best",
        )
    return path


def check_undamaged(path: Path) -> None:
    """Raises `ArgumentError` if a checkpoint is damaged, or cannot be read at the moment."""
    damage = find_damage(path)
    if damage:
        raise ArgumentError("checkpoint", path, f"is damaged ({damage})", "take another")


def best_of(paths: Iterable[Path]) -> Path | None:
    """The checkpoint with the lowest score; None where none has one.

    Scores under another protocol than the newest are not compared with it.
    """
    scores = [(*score, path) for path in sorted(paths) if (score := score_of(path))]
    comparable = [score for score in scores if score[1] == scores[-1][1]]
    return min(comparable, key=lambda score: score[0])[-1] if scores else None


def find_damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's files, by its manifest; None if all is well.

    Raises:
      ArgumentError: If a file cannot be read for a reason that is not in the checkpoint.
    """
    try:
        manifest = read_json_object(path / "manifest.json")
        for name in _ALWAYS_THERE - manifest.keys():
            return f"its manifest does not name {name}"
        for name, expected in manifest.items():
            file = path / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != expected["bytes"]:
                return f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}"
            if checksum(file) != expected["sha256"]:
                return f"{name} has another checksum"
    except FileNotFoundError:
        return "manifest.json is missing"
    except OSError as error:
        if may_pass(error) or isinstance(error, PermissionError):
            rule = f"cannot be read at the moment ({error})"
            remedy = "try again, or move it away if it stays so"
            raise ArgumentError("checkpoint", path, rule, remedy) from error
        return f"its files cannot be read: {error}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"its files cannot be read: {error}"
    return None


def newest_undamaged(folder: Path, rename_damaged: bool) -> Path | None:
    """The newest checkpoint of a folder whose files are as its manifest says; warns of others.

    Raises:
      ArgumentError: As `find_damage`: nothing older is taken for want of a file that is there.
    """
    for path in reversed(step_paths(folder)):
        damage = find_damage(path)
        if damage is None:
            return path
        fate = "passed over"
        if rename_damaged:
            set_aside = path.with_name(f"damaged_{path.name}")
            shutil.rmtree(set_aside, ignore_errors=True)
            path.rename(set_aside)
            fate = f"set aside as {set_aside}"
        warnings.warn(
            f"checkpoint {path.name} is damaged ({damage}): it is {fate}, and the one before "
            "it is looked for",
            RuntimeWarning,
            stacklevel=3,
        )
    return None


def write_manifest(folder: Path) -> None:
    """Lists all files of a folder with their sizes and checksums."""
    files = sorted(folder.iterdir())
    manifest = {f.name: {"bytes": f.stat().st_size, "sha256": checksum(f)} for f in files}
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def score_of(path: Path) -> tuple[float, str] | None:
    """How good a checkpoint is and by which protocol; None where that is not known."""
    try:
        facts = read_facts(path)
    except ArgumentError:
        return None
    score = facts.get("score")
    return None if score is None else (score, facts.get("protocol", ""))


def read_facts(path: Path) -> Facts:
    """The facts of one checkpoint, from its folder.

    Raises:
      ArgumentError: If they cannot be read.
    """
    try:
        return read_json_object(path / "facts.json")
    except (OSError, ValueError) as error:
        raise ArgumentError(
            "checkpoint", path, f"is damaged (facts.json: {error})", "take another"
        ) from error
