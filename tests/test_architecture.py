"""The architecture: imports go down only, and the map in gan_core/README.md is up to date."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "gan_core"


def module_name(path):
    """gan_core/data/source.py -> data.source; a package's __init__ keeps its name."""
    return ".".join(path.relative_to(ENGINE).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(ENGINE.rglob("*.py"))}
ROOMS = ["data", "evaluation", "fast", "run"]
for room in ROOMS:
    del MODULES[f"{room}.__init__"]  # holds nothing but its public names


def first_line(path):
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n")[0]


def engine_map():
    """The rooms and their modules, a line each: as `gan_core/README.md` shows them."""
    lines = []
    for room in ("", *ROOMS):
        if room:
            lines.append(f"{room}/ - {first_line(ENGINE / room / '__init__.py')}")
        own = [name for name in MODULES if name.rpartition(".")[0] == room and name != "__init__"]
        width = max(len(name.rpartition(".")[2]) for name in own)
        lines += [
            f"{'  ' if room else ''}{name.rpartition('.')[2]:{width}}  {first_line(MODULES[name])}"
            for name in own
        ]
    return "\n".join(lines)


def test_the_map_is_of_this_tree():
    """Run this file to print the map that belongs into `gan_core/README.md`."""
    assert engine_map() in (ENGINE / "README.md").read_text(encoding="utf-8")


def imported(path, package):
    """Names of the modules of `package` that a file imports, or of what it takes from `package`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = node.module.removeprefix(package).lstrip(".")
            if node.module == package or inside in ROOMS:
                yield from (f"{inside}.{alias.name}".lstrip(".") for alias in node.names)
            elif node.module.startswith(package + "."):
                yield inside
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(package + "."):
                    yield alias.name.removeprefix(package + ".")


def names_imported(path):
    """What a file takes from the engine's modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gan_core"):
            yield from (alias.name for alias in node.names)


ROOM_OF_NAMES = {"__init__", *ROOMS}


def modules_below(name, seen=()):
    """All modules that one imports, through others too."""
    assert name not in seen, f"imports go in a circle: {' -> '.join([*seen, name])}"
    below = set()
    for other in imported(MODULES[name], "gan_core"):
        if other not in ROOM_OF_NAMES:
            below |= {other} | modules_below(other, (*seen, name))
    return below


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    """No circles, and no room imports from one above it."""
    path, room = MODULES[name], name.rpartition(".")[0]
    below = modules_below(name) if name != "__init__" else set()
    rooms_below = {other.rpartition(".")[0] for other in below}
    above = {"data": {"run", "evaluation"}, "fast": {"run", "data", "evaluation"}}
    assert not rooms_below & above.get(room, {"run"} if room != "run" else set())
    assert not list(imported(path, "experiments")), "the engine knows no experiment"
    assert "absl" not in path.read_text(encoding="utf-8"), "flags exist in experiments only"


def public_names():
    """Of the package and its rooms: `Gan`, `run.Checkpoints`."""
    for room in ("", *ROOMS):
        package = importlib.import_module(f"gan_core.{room}".rstrip("."))
        for name in dir(package):
            if not name.startswith("_") and not inspect.ismodule(getattr(package, name)):
                yield f"{room}.{name}".lstrip("."), getattr(package, name)


PUBLIC = dict(public_names())


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").rglob("*.py")), ids=lambda path: path.stem
)
def test_experiments_use_public_names_only(path):
    for name in imported(path, "gan_core"):
        assert name in PUBLIC or name in ROOMS, f"{name} is a module of the engine"
    used = re.findall(
        r"\bgan_core\.((?:data\.|evaluation\.|fast\.|run\.)?\w+)", path.read_text(encoding="utf-8")
    )
    for name in used:
        assert name in PUBLIC or name in ROOMS, f"gan_core.{name} is none"


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_type_checkers_see_each_public_name(room):
    """In a typed package only names imported as themselves are public."""
    tree = ast.parse((ENGINE / room / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    own = [alias for node in imports if node.module != "etils" for alias in node.names]
    assert [alias.name for alias in own] == [alias.asname for alias in own]
    package = importlib.import_module(f"gan_core.{room}".rstrip("."))
    assert {alias.name for alias in own} <= set(dir(package))


def code_lines(function):
    """How long a function's body is, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("name", MODULES)
def test_functions_are_short(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert code_lines(node) <= 40, f"{name}.{node.name}"


def types_in(path):
    """Words of the annotations in a file: of arguments, results, variables."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for part in ("annotation", "returns"):
            if getattr(node, part, None):
                yield from re.findall(r"\w+", ast.unparse(getattr(node, part)))


def names_in_use():
    """Names in the READMEs, in experiments and in other modules, and the types of all that."""
    for readme in (ROOT / "README.md", ENGINE / "README.md"):
        text = readme.read_text(encoding="utf-8").replace(engine_map(), "")
        yield from re.findall(r"\w+", text)
    for path in (ROOT / "experiments").rglob("*.py"):
        yield from re.findall(r"\bgan_core\.(?:[a-z]+\.)?(\w+)", path.read_text(encoding="utf-8"))
        yield from names_imported(path)
    for name, path in MODULES.items():
        if name != "__init__":
            yield from (*names_imported(path), *types_in(path))


def test_each_public_name_is_used():
    """What only the tests know is nobody's."""
    used = set(names_in_use())
    assert not [name for name in PUBLIC if name.split(".")[-1] not in used]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented_and_typed(name):
    if getattr(PUBLIC[name], "__module__", "").startswith("gan_core"):
        assert inspect.getdoc(PUBLIC[name]), f"{name} has no docstring"


def test_each_module_has_its_tests():
    tests = {
        ".".join(path.relative_to(ROOT / "tests").with_suffix("").parts).replace("test_", "")
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    # Exercised where they are used: choices everywhere, the game by the gan, schedules by the loop,
    # the files of checkpoints by the checkpoints, and a run's parts by the run.
    without = {
        "__init__",
        "choices",
        "game",
        "update_schedules",
        "data.source",
        "run.checkpoint_files",
        "run.program",
        "run.restore",
        "run.session",
        "run.plan",
        "run.record",
        "run.recorder",
        "run.run_data",
    }
    assert set(MODULES) - tests <= without


if __name__ == "__main__":
    print(engine_map())
