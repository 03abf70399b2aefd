"""The files of checkpoints: names, facts and manifests, read without TensorFlow."""

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
"""The JSON object in a checkpoint, next to its variables."""


def step_paths(folder: Path, ending: str = "") -> list[Path]:
    """Folders `step_<step>`, or files `step_<step><ending>`, in the order of the steps.

    Anything else of that name, such as a symbolic link, is ignored.
    """
    name = re.compile(rf"step_\d+{re.escape(ending)}")
    is_ours = Path.is_file if ending else Path.is_dir
    found = (p for p in folder.glob("step_*") if name.fullmatch(p.name) and not p.is_symlink())
    return sorted(filter(is_ours, found), key=step_of)


def step_of(path: Path) -> int:
    """The number in the name of a file or folder `step_<step>`."""
    return int(path.stem.removeprefix("step_"))


def newest_facts(folder: Path) -> Facts | None:
    """The facts of the newest checkpoint with readable facts; its other files are not checked."""
    for path in reversed(step_paths(folder)):
        try:
            return read_facts(path)
        except ArgumentError:
            continue
    return None


def find_checkpoint(folder: Path, which: str | int | Path) -> Path:
    """The checkpoint called `newest` or `best`, of a step, or at a path; its files are not checked.

    Raises:
      ArgumentError: If it does not exist.
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
            "name one of these steps, newest or best",
        )
    return path


def check_undamaged(path: Path) -> None:
    """Raises `ArgumentError` if a checkpoint is damaged, or cannot be read at the moment."""
    damage = find_damage(path)
    if damage:
        raise ArgumentError("checkpoint", path, f"is damaged ({damage})", "take another")


def best_of(paths: Iterable[Path]) -> Path | None:
    """The checkpoint with the lowest score; None if none has a score.

    Only scores under the protocol of the newest score are compared.
    """
    scores = [(*score, path) for path in sorted(paths) if (score := score_of(path))]
    comparable = [score for score in scores if score[1] == scores[-1][1]]
    return min(comparable, key=lambda score: score[0])[-1] if scores else None


def find_damage(path: Path) -> str | None:
    """A description of the damage to a checkpoint, by its manifest; None if there is none.

    Raises:
      ArgumentError: If a file cannot be read for a reason outside of the checkpoint.
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
                return f"{name} has a wrong checksum"
    except FileNotFoundError:
        return "manifest.json is missing"
    except OSError as error:
        if may_pass(error) or isinstance(error, PermissionError):
            rule = f"cannot be read at the moment ({error})"
            remedy = "try again, or move the checkpoint away if the error persists"
            raise ArgumentError("checkpoint", path, rule, remedy) from error
        return f"its files cannot be read: {error}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"its files cannot be read: {error}"
    return None


def newest_undamaged(folder: Path, rename_damaged: bool) -> Path | None:
    """The newest checkpoint whose files match its manifest; warns of damaged ones.

    Raises:
      ArgumentError: As `find_damage`: an older checkpoint does not replace an unreadable one.
    """
    for path in reversed(step_paths(folder)):
        damage = find_damage(path)
        if damage is None:
            return path
        fate = "skipped"
        if rename_damaged:
            set_aside = path.with_name(f"damaged_{path.name}")
            shutil.rmtree(set_aside, ignore_errors=True)
            path.rename(set_aside)
            fate = f"set aside as {set_aside}"
        warnings.warn(
            f"checkpoint {path.name} is damaged ({damage}): it is {fate}, and an earlier one is "
            "used",
            RuntimeWarning,
            stacklevel=3,
        )
    return None


def write_manifest(folder: Path) -> None:
    """Writes the sizes and checksums of all files in a folder."""
    files = sorted(folder.iterdir())
    manifest = {f.name: {"bytes": f.stat().st_size, "sha256": checksum(f)} for f in files}
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def score_of(path: Path) -> tuple[float, str] | None:
    """The score of a checkpoint and its protocol; None if it has none."""
    try:
        facts = read_facts(path)
    except ArgumentError:
        return None
    score = facts.get("score")
    return None if score is None else (score, facts.get("protocol", ""))


def read_facts(path: Path) -> Facts:
    """The facts of the checkpoint in a folder.

    Raises:
      ArgumentError: If they cannot be read.
    """
    try:
        return read_json_object(path / "facts.json")
    except (OSError, ValueError) as error:
        raise ArgumentError(
            "checkpoint", path, f"is damaged (facts.json: {error})", "take another"
        ) from error
