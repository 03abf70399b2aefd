"""A run that judges its samples: what it writes, keeps, and does when they become worse."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_gan
from test_run import PLAN, lines, weights

import gan_core
from gan_core.errors import ArgumentError
from gan_core.evaluation import Extracted, Extractor, Judge, JudgeSettings
from gan_core.run.record import EvaluationRecord

COARSE = Extractor(
    name="coarse",
    content_hash="c0a53e",
    image_shape=(8, 8, 3),
    extract_batch=lambda images: Extracted(
        images.reshape(len(images), 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(len(images), 12)
        .astype(np.float32)
    ),
)  # fmt: skip


def evaluation(tmp_path, **given):
    settings = JudgeSettings(num_samples=40, k=3, num_subsets=2)
    usual = {"every_steps": 2, "time_share": 1.0}
    return gan_core.run.Evaluation(
        make_judge=lambda: Judge(
            COARSE, tiny_gan.source(90), settings=settings, cache_dir=tmp_path / "cache"
        ),
        **usual | given,
    )


def make_run(strategy, folder, plan=PLAN, game=None, said=None, **given):
    gan = tiny_gan.build_gan(strategy, game=game or gan_core.Game())
    run = gan_core.run.Run(
        gan,
        tiny_gan.source(),
        folder,
        plan,
        program=gan_core.run.Program(say=[].append if said is None else said.append),
        **given,
    )
    return gan, run


def distances(folder):
    """(step, distance) of each evaluation in the log."""
    return [
        (line["evaluation/step"], value)
        for line in lines(folder)
        for name, value in line.items()
        if name.startswith("evaluation/frechet_distance@")
    ]


def facts(folder):
    found = [json.loads(p.read_text()) for p in sorted(folder.glob("checkpoints/*/facts.json"))]
    return {each["step"]: each for each in found}


def test_it_trains_the_same_and_the_best_is_kept(one_device, tmp_path):
    plan = dataclasses.replace(PLAN, log_every_steps=2, keep_checkpoints=1)
    plain, run = make_run(one_device, tmp_path / "plain", plan)
    run.train()
    said = []
    judged, run = make_run(
        one_device, tmp_path / "judged", plan, said=said, evaluation=evaluation(tmp_path)
    )
    run.train()
    for one, other in zip(weights(plain), weights(judged), strict=True):
        np.testing.assert_array_equal(one, other)
    found = dict(distances(tmp_path / "judged"))
    assert list(found) == [2, 4, 6, 8, 10, 12]
    best = min(found, key=found.get)
    kept = facts(tmp_path / "judged")
    assert set(kept) == {best, 12}
    assert kept[best]["score"] == found[best]
    last = lines(tmp_path / "judged")[-1]
    assert (last["evaluation/best"], last["evaluation/best_step"]) == (found[best], best)
    assert sum("Fréchet distance" in words for words in said) == 6
    gan, _ = make_run(one_device, tmp_path / "other", plan)
    checkpoints = gan_core.run.Checkpoints(tmp_path / "judged/checkpoints", gan)
    assert checkpoints.restore("best")["step"] == best
    judge = evaluation(tmp_path).judge
    (protocol,) = (tmp_path / "judged/evaluation").iterdir()
    assert protocol.stem == judge.protocol.short()
    assert json.loads(protocol.read_text())["num_samples"] == 40
    again = judge.score(gan_core.run.generate_samples(gan, 40, "evaluation"))
    assert again[judge.protocol.key("frechet_distance")] == found[best]


def test_after_a_stop_the_numbers_are_the_same(one_device, tmp_path):
    given = {"evaluation": evaluation(tmp_path)}
    make_run(one_device, tmp_path / "whole", **given)[1].train()
    for total_steps in (6, 12):
        plan = dataclasses.replace(PLAN, total_steps=total_steps)
        make_run(one_device, tmp_path / "parts", plan, **given)[1].train()
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")
    whole, parts = (facts(tmp_path / name)[12]["outputs"] for name in ("whole", "parts"))
    timed = ("seconds", "last_seconds")
    for name, value in whole["evaluation"].items():
        assert name in timed or value == parts["evaluation"][name], name


def test_the_share_of_time_leaves_some_out(one_device, tmp_path):
    said = []
    rare = evaluation(tmp_path, time_share=1e-9)
    _, run = make_run(one_device, tmp_path / "run", said=said, evaluation=rare)
    run.train()
    assert [step for step, _ in distances(tmp_path / "run")] == [2]
    assert sum("some are skipped" in words for words in said) == 1


def test_it_stops_where_samples_do_not_become_better(one_device, tmp_path, monkeypatch):
    values = iter([3.0, 2.0, 2.5, 2.0, 1.0, 1.0])
    score = Judge.score

    def scripted(judge, samples):
        key = judge.protocol.key("frechet_distance")
        return score(judge, samples) | {key: next(values)}

    monkeypatch.setattr(Judge, "score", scripted)
    for _ in range(2):
        given = {"evaluation": evaluation(tmp_path, stop_after_no_improvement=2)}
        outcome = make_run(one_device, tmp_path / "run", **given)[1].train()
        assert (outcome.ending, outcome.step) == (gan_core.run.Ending.NO_IMPROVEMENT, 8)
        assert "no better in 2 evaluations; the best checkpoint is of step 4" in outcome.words
        assert "to continue give a larger stop_after_no_improvement" in outcome.words
        assert not outcome.is_failure
    assert (tmp_path / "run/training.gif").exists()
    given = {"evaluation": evaluation(tmp_path, stop_after_no_improvement=5)}
    assert make_run(one_device, tmp_path / "run", **given)[1].train().step == 12


@pytest.fixture
def collapsing(monkeypatch):
    """A judge to whom steps after 4 are much worse; not after `needed` rollbacks."""

    def prepare(gan, needed=1):
        score = Judge.score

        def scripted(judge, samples):
            step, is_better = int(gan.step), int(gan.rollbacks) >= needed
            value = 1 / step if is_better or step <= 4 else 100.0
            return score(judge, samples) | {judge.protocol.key("frechet_distance"): value}

        monkeypatch.setattr(Judge, "score", scripted)

    return prepare


def judged(tmp_path, on_collapse):
    return evaluation(tmp_path, on_collapse=on_collapse, collapse_evaluations=2)


def test_a_collapse_goes_back_to_the_best_and_on_exactly(one_device, tmp_path, collapsing):
    results = []
    for name, stops in (("whole", (12,)), ("parts", (6, 12))):
        for total_steps in stops:
            plan, said = dataclasses.replace(PLAN, total_steps=total_steps), []
            given = {"evaluation": judged(tmp_path, "rollback"), "said": said}
            gan, run = make_run(one_device, tmp_path / name, plan, **given)
            collapsing(gan)
            assert run.train().ending is gan_core.run.Ending.DONE
        assert sum("the samples have collapsed: 2 evaluations in a row" in w for w in said) == 1
        assert any(w.startswith("rollback 1 of 3: resumes from step 4 with other") for w in said)
        assert int(gan.rollbacks) == 1
        results.append((weights(gan), lines(tmp_path / name), distances(tmp_path / name)))
    assert results[0][2] == [(step, 1 / step) for step in (4, 8, 12)]
    assert results[0][1:] == results[1][1:]
    for one, other in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("on_collapse", "needed"), [("stop", 1), pytest.param("rollback", 9, marks=pytest.mark.slow)]
)
def test_a_collapse_stops_with_the_best_kept(
    on_collapse, needed, one_device, tmp_path, collapsing, capsys
):
    gan, run = make_run(one_device, tmp_path, evaluation=judged(tmp_path, on_collapse))
    collapsing(gan, needed)
    outcome = run.train()
    assert (outcome.ending, outcome.step) == (gan_core.run.Ending.COLLAPSED, 8)
    assert outcome.is_failure
    assert "the best checkpoint is kept; try lower learning rates" in outcome.words
    assert int(gan.rollbacks) == (0 if on_collapse == "stop" else 3)
    checkpoints = gan_core.run.Checkpoints(tmp_path / "checkpoints", gan)
    assert checkpoints.restore("best")["step"] == 4
    assert (tmp_path / "samples/step_0000008.png").exists()
    assert outcome.words in capsys.readouterr().err


def test_a_collapse_that_only_warns_is_said_once(one_device, tmp_path, collapsing):
    said = []
    gan, run = make_run(one_device, tmp_path, said=said, evaluation=judged(tmp_path, "warn"))
    collapsing(gan)
    assert run.train().ending is gan_core.run.Ending.DONE
    assert sum("the samples have collapsed" in words for words in said) == 1


def test_much_worse_is_a_distance_or_a_coverage_in_a_row():
    record = EvaluationRecord().after(10, 2.0, 0.9, collapse_factor=3.0)
    assert (record.best, record.best_step, record.much_worse) == (2.0, 10, 0)
    for distance, coverage, much_worse in ((6.1, 0.9, 1), (2.1, 0.29, 2), (6.0, 0.31, 0)):
        record = record.after(20, distance, coverage, collapse_factor=3.0)
        assert record.much_worse == much_worse
    assert (record.best_step, record.since_best, record.count, record.last) == (10, 3, 4, 6.0)
    chance = EvaluationRecord().after(10, 2.0, 0.019, collapse_factor=3.0)
    assert chance.after(20, 2.0, 0.0, collapse_factor=3.0).much_worse == 0
    record = record.after(30, 1.0, 0.1, collapse_factor=3.0)
    assert (record.best, record.since_best, record.best_coverage) == (1.0, 0, 0.9)
    assert record.much_worse == 1


def test_distances_under_another_protocol_are_not_compared(one_device, tmp_path):
    half = dataclasses.replace(PLAN, total_steps=8)
    make_run(one_device, tmp_path / "run", half, evaluation=evaluation(tmp_path))[1].train()
    settings, said = JudgeSettings(num_samples=30, k=3, num_subsets=2), []
    other = dataclasses.replace(
        evaluation(tmp_path),
        make_judge=lambda: Judge(
            COARSE, tiny_gan.source(90), settings=settings, cache_dir=tmp_path / "cache"
        ),
    )
    make_run(one_device, tmp_path / "run", said=said, evaluation=other)[1].train()
    assert any("from now on; results of coarse_40_" in words for words in said)
    found = facts(tmp_path / "run")
    newest = found[12]["outputs"]["evaluation"]
    assert newest["count"] == 2
    # Judging under the first is no time of training under the second either.
    assert newest["seconds"] > found[8]["outputs"]["evaluation"]["seconds"]
    scored = {step: each["score"] for step, each in found.items() if each["score"] is not None}
    best = gan_core.run.Checkpoints(tmp_path / "run/checkpoints", tiny_gan.build_gan(one_device))
    assert best.restore("best")["step"] == newest["best_step"]
    assert scored[newest["best_step"]] == newest["best"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every_steps": 0}, r"`every_steps` \(0\)"),
        ({"time_share": 0.0}, r"`time_share` \(0.0\) must be above 0 and at most 1"),
        ({"time_share": 1.5}, r"`time_share` \(1.5\)"),
        ({"on_collapse": "cry"}, r"`on_collapse` \(cry\)"),
        ({"collapse_factor": 1.0}, r"`collapse_factor` \(1.0\) must be above 1"),
        ({"stop_after_no_improvement": 0}, r"`stop_after_no_improvement` \(0\)"),
    ],
)
def test_refuses(given, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        evaluation(tmp_path, **given)


def test_refuses_a_gan_without_latents_or_samples_of_another_kind(one_device, tmp_path):
    gan = tiny_gan.build_gan(one_device)
    gan.latents = None
    with pytest.raises(
        ArgumentError, match=r"`make_samples` \(None\) must make the samples to judge"
    ):
        gan_core.run.Run(gan, tiny_gan.source(), tmp_path, PLAN, evaluation=evaluation(tmp_path))


def test_refuses_steps_at_which_no_call_ends(one_device, tmp_path):
    with pytest.raises(ArgumentError, match=r"`steps_per_call` \(2\) must divide `every_steps`"):
        make_run(one_device, tmp_path, evaluation=evaluation(tmp_path, every_steps=3))
