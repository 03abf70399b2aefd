"""The house is as the README's map draws it: imports go down only."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import gan_core

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "gan_core").glob("*.py"))


def floors():
    """Floor by module, from the map in the README: lines `  losses.py  1  what it is`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^ +(\w+)\.py +(\d) ", readme, flags=re.MULTILINE)
    return {name: int(floor) for name, floor in found}


def imported(path, package):
    """Names of the modules of `package` that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == package:
                yield from (alias.name for alias in node.names)
            elif node.module.startswith(package + "."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(package + "."):
                    yield alias.name.split(".")[1]


def test_the_map_lists_each_module_once():
    assert set(floors()) == {path.stem for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_go_down(path):
    floor = floors()
    for name in imported(path, "gan_core"):
        assert floor[name] < floor[path.stem], f"{path.stem} imports {name} from above or beside"
    assert not list(imported(path, "experiments")), "the engine knows no experiment"
    assert "absl" not in path.read_text(encoding="utf-8"), "flags exist in experiments only"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda path: path.stem
)
def test_experiments_use_public_names_only(path):
    for name in imported(path, "gan_core"):
        assert hasattr(gan_core, name)
        assert not inspect.ismodule(getattr(gan_core, name)), f"{name} is a module of the engine"


def public_names():
    return [name for name, value in vars(gan_core).items() if callable(value)]


@pytest.mark.parametrize("name", public_names())
def test_public_names_are_documented_and_typed(name):
    thing = getattr(gan_core, name)
    if getattr(thing, "__module__", "").startswith("gan_core"):
        assert inspect.getdoc(thing), f"{name} has no docstring"


def test_each_module_has_its_tests():
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    without = {path.stem for path in MODULES} - tests
    # Exercised where they are used: the types everywhere, schedules by the loop, curves by hooks.
    assert without <= {"__init__", "types", "schedules", "curves"}
