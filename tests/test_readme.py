"""What the README shows works as it stands there."""

import re
from pathlib import Path

import gan_core

ROOT = Path(__file__).parent.parent


def test_the_python_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 9
    namespace = {}
    for block in blocks:
        block = block.replace('make_strategy("auto")', 'make_strategy("one_device")')
        exec(compile(block, "README.md", "exec"), namespace)
    assert len([line for line in blocks[0].splitlines() if line]) <= 12
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


def test_the_files_it_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"experiments/(?:flagfiles|results)/\w+\.\w+", text):
        assert (ROOT / path).is_file(), path
