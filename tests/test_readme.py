"""The READMEs: their examples run, their commands parse, their files and flags exist."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gan_core
from experiments.program.main import settings_of
from experiments.settings.settings import Settings

ROOT = Path(__file__).parent.parent
MAIN, ENGINE = ROOT / "README.md", ROOT / "gan_core/README.md"
READMES = [
    MAIN,
    ENGINE,
    ROOT / "experiments/README.md",
    ROOT / "experiments/tools/README.md",
    ROOT / "experiments/results/tried.md",
    ROOT / "BUILD.md",
]
NOT_SETTINGS = {"help", "flagfile"}
"""Flags that are no setting of an experiment."""


def ids(path):
    return str(path.relative_to(ROOT))


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_python_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [*python_blocks(MAIN), *python_blocks(ENGINE)]
    assert len(blocks) == 10
    namespace = {}
    for block in blocks:
        block = block.replace('make_strategy("auto")', 'make_strategy("one_device")')
        exec(compile(block, "README.md", "exec"), namespace)
    assert len([line for line in blocks[0].splitlines() if line]) <= 12
    assert len(blocks[1].split("class", 1)[1].splitlines()) <= 5
    assert (tmp_path / "runs/twelve/samples/step_0000040.png").exists()
    assert "\n10 {'discriminator/loss'" in capsys.readouterr().out
    assert int(namespace["gan"].step.numpy()) in (40, 80, 120)  # the best's
    assert namespace["images"].shape == (100, 32, 32, 3)
    assert int(namespace["gan"].images_seen.numpy()) == 120 * 32
    assert int(namespace["gan"].generator_updates.numpy()) == 20 + 2 * 2 + 3 + 35 + 60
    assert namespace["outcome"].ending is gan_core.run.Ending.DONE
    assert (tmp_path / "runs/bright/training.gif").exists()
    assert "evaluation/best" in (tmp_path / "runs/bright/metrics.jsonl").read_text()
    gan, batches = namespace["gan"], namespace["batches"]
    penalty = gan_core.Regularizer("mine", namespace["my_penalty"], 1.0)
    for game in (namespace["r3gan"], gan_core.Game(regularizers=[penalty])):
        gan.game = game
        metrics = gan.update_both(next(batches))
        for regularizer in game.regularizers:
            assert float(metrics[f"discriminator/{regularizer.name}"]) >= 0


def test_the_readme_is_short():
    text = MAIN.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 220
    assert len(text.split()) <= 2200


def anchors(path):
    """The anchors of a file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", READMES, ids=ids)
def test_the_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("path", READMES, ids=ids)
def test_the_files_it_names_exist(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"(?:experiments/(?:flagfiles|results)|tests)/\w+\.\w+", text):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"`(\w+\.flags)", text):
        if name not in ("effective.flags", "best.flags"):  # files that programs write
            assert (ROOT / "experiments/flagfiles" / name).is_file(), name


def commands(path):
    """The command lines in a file: of its code blocks, and of its inline code."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    code = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in code for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [re.search(r"python -m (experiments[\w.]*)(.*)", line) for line in lines]
    for match in filter(None, found):
        if "<" not in match[0]:
            yield match[1], shlex.split(match[2].split(";")[0])


ALL = {
    " ".join([name, *words]): (name, words) for path in READMES for name, words in commands(path)
}
REFUSED = "experiments.svhn_dcgan --total_steps=none"
"""The README shows its exit code."""


@pytest.mark.parametrize("command", ALL)
def test_the_commands_parse(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    name, words = ALL[command]
    if command == REFUSED:
        with pytest.raises(gan_core.ArgumentError):
            settings_of(importlib.import_module(name).EXPERIMENT, words)
    elif name.startswith(("experiments.tools", "experiments.examples")):
        of_its_runs = Settings.__dataclass_fields__ if name.endswith(".search") else ()
        for word in re.findall(r"--(\w+)", " ".join(words)):
            assert word in help_of(name) or word in of_its_runs, word
    elif name != "experiments":
        settings = settings_of(importlib.import_module(name).EXPERIMENT, words)
        assert settings or words == ["--help"]


_HELP = {}


def help_of(name):
    """The flags that a program's help names."""
    if name not in _HELP:
        command = [sys.executable, "-m", name, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        _HELP[name] = set(re.findall(r"--(?:\[no\])?(\w+)", done.stdout))
    return _HELP[name]


@pytest.mark.parametrize("path", READMES, ids=ids)
def test_the_flags_it_names_exist(path):
    """Those in inline code that starts with a flag: settings of an experiment."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    of_tools = "tools" in path.parts or path.name in ("BUILD.md", "tried.md")
    for code in re.findall(r"`(--[^`\n]+)`", text):
        for name in re.findall(r"--(\w+)", code):
            known = name in Settings.__dataclass_fields__ or name in NOT_SETTINGS
            assert known or (of_tools and name in _tool_flags()), f"--{name}"


def _tool_flags():
    names = ("benchmark", "compare_folders", "crash_test", "search", "time_to_quality")
    return set().union(*(help_of(f"experiments.tools.{name}") for name in names))
