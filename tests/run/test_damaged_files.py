"""Files of a run's folder that are damaged, foreign or no files at all: the run goes on."""

import dataclasses
import errno
import json
import os
import shutil

import pytest
import tiny_gan
from test_run import PLAN, lines, make_run

import gan_core
from gan_core.files import read_json_object
from gan_core.run import checkpoint_files
from gan_core.run.checkpoint_files import find_damage, newest_undamaged, step_paths
from gan_core.run.pictures import read_metrics

LONGER = dataclasses.replace(PLAN, total_steps=16)
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def trained(one_device, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    make_run(one_device, folder)[1].train()
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def goes_on(one_device, folder):
    outcome = make_run(one_device, folder, plan=LONGER)[1].train()
    assert (outcome.ending, outcome.step) == (gan_core.run.Ending.DONE, 16)
    assert [line["step"] for line in lines(folder)] == [4, 8, 12, 16]
    assert (folder / "training.gif").stat().st_size


FOREIGN = {
    "text": b"no JSON\n",
    "blank": b"\n",
    "zeros": bytes(20) + b"\n",
    "not UTF-8": b"\xff\xfe\n",
    "deep": DEEP.encode() + b"\n",
    "a number": b"5\n",
    "a step of words": b'{"step": "five"}\n',
    "words": json.dumps({"step": 9, "loss": "high"}).encode()[:-1] + b"\n",
}


@pytest.mark.parametrize("content", FOREIGN)
def test_lines_that_are_no_metrics_are_set_aside(content, one_device, folder):
    path = folder / "metrics.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    damaged = first + b"\n" + FOREIGN[content] + rest
    path.write_bytes(damaged)
    with pytest.warns(RuntimeWarning, match="holds lines that are not metrics: it is kept as"):
        goes_on(one_device, folder)
    assert (folder / "damaged_metrics.jsonl").read_bytes() == damaged


def test_a_last_line_that_was_cut_off_is_no_damage(one_device, folder, recwarn):
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 14, "los')
    goes_on(one_device, folder)
    assert not any("not metrics" in str(warning.message) for warning in recwarn)


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.5, "note": "high", "more": [1]}\n')
    assert read_metrics(path) == [{"step": 1, "loss": 0.5}]


def test_what_is_only_named_like_a_checkpoint_is_left_alone(one_device, folder):
    checkpoints = folder / "checkpoints"
    (checkpoints / "step_0000001").write_text("mine")
    (checkpoints / "step_0000002").symlink_to(checkpoints / "step_0000012")
    (checkpoints / "step_0000003").symlink_to(checkpoints / "nowhere")
    assert [path.name[-2:] for path in step_paths(checkpoints)] == ["04", "08", "12"]
    goes_on(one_device, folder)
    assert (checkpoints / "step_0000001").read_text() == "mine"
    assert (checkpoints / "step_0000002").is_symlink()


def test_links_where_it_writes_are_not_followed(one_device, folder, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in (".partial_metrics.jsonl", ".partial_curves.png", "checkpoints/partial_0000016"):
        (folder / name).symlink_to(mine)
    goes_on(one_device, folder)
    assert mine.read_text() == "mine"


def test_a_damaged_grid_is_left_out_of_the_film(one_device, folder):
    path = folder / "samples" / "step_0000004.png"
    path.write_bytes(path.read_bytes()[:100])
    (folder / "samples" / "step_0000008.png").write_text("no picture")
    (folder / "samples" / "step_0000002.png").mkdir()
    with pytest.warns(RuntimeWarning, match="is a damaged picture"):
        goes_on(one_device, folder)


def test_what_is_only_named_like_an_event_file_is_left_alone(one_device, folder):
    events = folder / "tensorboard"
    foreign = events / "events.out.tfevents.1.mine"
    foreign.write_bytes(b"not events at all, but mine" * 10)
    (events / "events.out.tfevents.2.folder").mkdir()
    (events / "events.out.tfevents.3.link").symlink_to(foreign)
    goes_on(one_device, folder)
    assert foreign.read_bytes() == b"not events at all, but mine" * 10


@pytest.mark.parametrize(
    "manifest", ["{}", "[]", "5", DEEP, '{"facts.json": {"bytes": 1}}', "\0", ""]
)
def test_a_manifest_that_says_nothing_is_damage(manifest, folder):
    newest = step_paths(folder / "checkpoints")[-1]
    assert find_damage(newest) is None
    (newest / "manifest.json").write_text(manifest)
    assert find_damage(newest)
    with pytest.warns(RuntimeWarning, match="step_0000012 is damaged"):
        assert newest_undamaged(folder / "checkpoints", rename_damaged=False).name[-2:] == "08"


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
def test_what_cannot_be_read_at_the_moment_is_no_damage(error, folder, monkeypatch):
    """The next start would go on from an older one, and the newest be lost."""
    before = step_paths(folder / "checkpoints")

    def refuse(path):
        raise OSError(error, os.strerror(error), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "checksum", refuse)
        with pytest.raises(gan_core.ArgumentError, match="cannot be read at the moment"):
            newest_undamaged(folder / "checkpoints", rename_damaged=True)
    assert step_paths(folder / "checkpoints") == before
    assert newest_undamaged(folder / "checkpoints", rename_damaged=True) == before[-1]


@pytest.mark.parametrize("facts", [{}, {"outputs": {}}, {"outputs": 5, "settings": {}}])
def test_facts_without_the_record_of_a_run_are_refused(facts, one_device, tmp_path):
    gan = tiny_gan.build_gan(
        one_device, regularizers=[gan_core.Regularizer("r1", gan_core.r1, 0.5)]
    )
    gan.step.assign(4)
    checkpoints = gan_core.run.Checkpoints(tmp_path / "checkpoints", gan)
    own = {"latents": str(gan.latents), "value range": list(gan.value_range)}
    data = {"data": tiny_gan.source().name, "number of images": len(tiny_gan.source().images)}
    checkpoints.save({**own, **data, **facts})
    checkpoints.wait()
    with pytest.raises(gan_core.ArgumentError, match=r"must hold the record of a run"):
        make_run(one_device, tmp_path)[1].train()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"null", DEEP.encode()])
def test_an_object_is_read_or_refused(content, tmp_path):
    path = tmp_path / "object.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"JSON|nested|decode|Expecting"):
        read_json_object(path)
    with pytest.raises(OSError, match="none"):
        read_json_object(tmp_path / "none.json")
    path.write_text('{"a": 1}')
    assert read_json_object(path) == {"a": 1}


def test_pipes_in_place_of_files_are_not_waited_for(one_device, folder):
    for name in ("metrics.jsonl", "finished.json", "reals.png", "training.gif", "curves.png"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    newest = step_paths(folder / "checkpoints")[-1]
    for name in ("manifest.json", "facts.json"):
        (newest / name).unlink()
        os.mkfifo(newest / name)
    with pytest.warns(RuntimeWarning, match="is damaged"):
        outcome = make_run(one_device, folder, plan=LONGER)[1].train()
    assert outcome.ending is gan_core.run.Ending.DONE
    assert lines(folder)[-1]["step"] == 16
    assert (folder / "training.gif").is_file()
