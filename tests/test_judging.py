"""Evaluation of samples within a run and by `--mode=evaluate`."""

import csv
import itertools
import json
import types

import numpy as np
import pytest
from PIL import Image
from test_experiments import metrics, run

from experiments.program import evaluate as evaluating
from experiments.settings.conditional import make_picture
from experiments.settings.settings import read_settings
from gan_core import ArgumentError
from gan_core.evaluation import classifier

JUDGED = ["--evaluation_samples=30", "--extractor=random_convolutions"]
TRAINED = [
    *JUDGED, "--evaluate_every_steps=2", "--evaluation_time_share=1", "--total_steps=6",
    "--checkpoint_every_steps=6", "--keep_checkpoints=1", "--batch_norm=per_replica",
]  # fmt: skip


def test_evaluating_repeats_the_distances_found_in_training(tmp_path, capsys):
    workdir = f"--workdir={tmp_path}"
    assert run("fashion_mnist_dcgan", *TRAINED, workdir) == 0
    lines = [line for line in metrics(tmp_path) if "evaluation/step" in line]
    assert [line["evaluation/step"] for line in lines] == [2, 4, 6]
    key = next(name for name in lines[0] if name.startswith("evaluation/frechet_distance@random"))
    found = {line["step"]: line[key] for line in lines}
    best = min(found, key=found.get)
    assert lines[-1]["evaluation/best_step"] == best

    assert run("fashion_mnist_dcgan", *JUDGED, "--mode=evaluate", "--checkpoint=all", workdir) == 0
    with (tmp_path / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == sorted({best, 6})
    for row in rows:
        assert float(row["frechet_distance"]) == found[int(row["step"])]
        assert row["settings/global_batch_size"] == "4"
        assert row["protocol/num_samples"] == "30"
        assert float(row["frechet_distance_of_reals"]) > 0
    printed = capsys.readouterr().out.splitlines()
    table = next(i for i, line in enumerate(printed) if line.split()[:2] == ["step", "Fréchet"])
    assert printed[table + 1].startswith("real images")
    assert all(len(line) <= 80 for line in printed[table : table + 2 + len(rows)])

    assert run("fashion_mnist_dcgan", "--mode=generate", workdir) == 0
    assert f"step {best}, the best of the run" in capsys.readouterr().out
    one = ["--mode=evaluate", "--checkpoint=newest", f"--output={tmp_path}/newest.csv"]
    assert run("fashion_mnist_dcgan", *JUDGED, *one, workdir) == 0
    assert Image.open(tmp_path / "newest.png").width > 8 * 28


def test_checkpoints_with_damaged_facts_are_left_out_of_all(tmp_path, capsys):
    given, workdir = [*JUDGED, "--mode=evaluate", "--checkpoint=all"], f"--workdir={tmp_path}"
    every = ["--total_steps=6", "--checkpoint_every_steps=2", "--keep_checkpoints=3"]
    assert run("fashion_mnist_gan", *every, workdir) == 0
    facts = [tmp_path / "checkpoints" / f"step_000000{step}" / "facts.json" for step in (2, 4, 6)]
    facts[2].write_text("{")
    assert run("fashion_mnist_gan", *given, workdir) == 0
    assert "left out: `checkpoint`" in capsys.readouterr().out
    with (tmp_path / "evaluation.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [2, 4]
    for path in facts:
        path.write_text("{")
    assert run("fashion_mnist_gan", *given, workdir) == 2
    assert "must hold a checkpoint; train there first" in capsys.readouterr().err


def test_an_fid_replaces_the_frechet_distance():
    row = evaluating._line(
        "real images", {"fid_of_reals": 3.25, "recall_of_reals": 0.5}, "_of_reals"
    )
    assert row.split()[:5] == ["real", "images", "3.25", "-", "-"]


def test_a_grid_by_class_has_at_most_the_rows_that_fit_a_film(monkeypatch):
    monkeypatch.setattr("gan_core.run.samples_by_class", lambda gan, rows: rows)
    for side, num_classes in itertools.product((28, 64, 256), (3, 10, 16, 257, 5000)):
        network = types.SimpleNamespace(output_shape=(None, side, side, 3))
        rows = make_picture(types.SimpleNamespace(generator=network), num_classes)
        assert rows == num_classes or (rows >= 16 and rows * side <= 4096)
        assert rows <= num_classes


def test_samples_are_judged_with_the_class_frequencies_of_the_data(tmp_path, monkeypatch):
    drawn = []

    def remember(gan, count, stream, conditions):
        drawn.append(np.concatenate([conditions(0, 20)["labels"], conditions(20, 10)["labels"]]))
        return np.zeros((count, 28, 28, 1), np.uint8)

    monkeypatch.setattr(classifier, "train_classifier", lambda *arguments, **given: None)
    monkeypatch.setattr("gan_core.run.generate_samples", remember)
    given = [*TRAINED, "--extractor=auto", "--num_classes=10", "--total_steps=2"]
    assert run("fashion_mnist_gan", *given, f"--workdir={tmp_path}") == 0
    assert len(drawn[0]) == 30
    assert set(np.unique(drawn[0])) <= set(range(10))
    line = metrics(tmp_path)[-1]
    assert any(name.startswith("evaluation/classes_covered@classifier_30_") for name in line)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--evaluate_every_steps=5", "--steps_per_call=10"], r"`steps_per_call` \(10\)"),
        (["--stop_after_no_improvement=3"], "needs `evaluate_every_steps`; give --evaluate_every"),
        (["--on_collapse=stop"], r"`on_collapse` \(stop\) needs `evaluate_every_steps`"),
        (["--evaluation_time_share=2"], r"`evaluation_time_share` \(2.0\) must be 1 at most"),
        (["--extractor=inception"], r"must name the file of `extractor` \(inception\)"),
        (["--mode=generate", "--checkpoint=all"], "is for --mode=evaluate"),
    ],
)
def test_evaluation_flags_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ArgumentError, match=message):
        read_settings(given, {"workdir": "nowhere"})


def test_a_folder_has_no_splits(tmp_path, capsys):
    for number in range(8):
        image = np.full((28, 28), 30 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    given = [f"--dataset={tmp_path}", "--evaluation_split=test", f"--workdir={tmp_path}/run"]
    assert run("fashion_mnist_gan", *TRAINED, *given, "--split=train") == 2
    assert "`evaluation_split` (test) needs a dataset with splits" in capsys.readouterr().err


def test_a_missing_checkpoint_is_named(tmp_path, capsys):
    assert run("fashion_mnist_gan", "--mode=evaluate", f"--workdir={tmp_path}") == 2
    assert "must hold a checkpoint; train there first" in capsys.readouterr().err
    assert run("fashion_mnist_gan", f"--workdir={tmp_path}") == 0
    assert json.loads((tmp_path / "checkpoints/step_0000002/facts.json").read_text())["step"] == 2
    for which, words in (("best", "none was saved with a score"), ("7", "where there are: 2")):
        given = ["--mode=evaluate", f"--checkpoint={which}", f"--workdir={tmp_path}"]
        assert run("fashion_mnist_gan", *given) == 2
        assert words in capsys.readouterr().err
