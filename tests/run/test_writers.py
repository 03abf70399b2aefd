import json
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from gan_core.run import writers


def test_json_lines_are_appended_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        writer = writers.JsonLinesWriter(path, last_line=step - 1)
        writer.write_scalars(step, {"loss": 0.1 * step})
        writer.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.1},
        {"step": 2, "loss": 0.2},
    ]


def test_lines_after_the_restored_step_and_lines_cut_off_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.25}\n{"step": 3, "lo')
    writer = writers.JsonLinesWriter(path, last_line=1)
    writer.write_scalars(2, {"loss": 0.5})
    writer.close()
    assert path.read_text() == '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.5}\n'


def test_pictures_are_files_by_name_and_step(tmp_path):
    writer = writers.PictureFilesWriter(tmp_path, "about")
    writer.write_picture(12, "samples", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "samples" / "step_0000012.png").is_file()


def test_tensorboard_events_hold_scalars_pictures_and_settings(tmp_path):
    writer = writers.TensorBoardWriter(tmp_path, last_line=0, last_picture=0)
    writer.write_settings({"seed": 3})
    writer.write_scalars(7, {"generator/loss": 0.5})
    writer.write_picture(7, "samples", np.zeros((4, 4, 3), np.uint8))
    writer.close()
    [path] = tmp_path.iterdir()
    events = list(tf.compat.v1.train.summary_iterator(str(path)))
    tags = {value.tag: (event.step, value) for event in events for value in event.summary.value}
    assert set(tags) == {"settings", "generator/loss", "samples"}
    step, value = tags["generator/loss"]
    assert step == 7
    assert tf.make_ndarray(value.tensor) == 0.5
    assert b"| seed | 3 |" in tf.make_ndarray(tags["settings"][1].tensor).item()


def events(folder):
    return sorted(
        (event.step, value.tag)
        for path in folder.iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    )


def test_tensorboard_events_that_will_be_written_again_are_dropped(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    writer = writers.TensorBoardWriter(tmp_path, last_line=0, last_picture=0)
    for step in (2, 4):
        writer.write_scalars(step, {"loss": 0.5})
    for step in (3, 6):
        writer.write_picture(step, "samples", picture)
    writer.close()
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])  # a record that a crash cut off
    writer = writers.TensorBoardWriter(tmp_path, last_line=2, last_picture=3)
    writer.write_scalars(4, {"loss": 0.25})
    writer.close()
    assert events(tmp_path) == [(2, "loss"), (3, "samples"), (4, "loss")]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KiB; its user unmounts it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own: this machine forbids mounts")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(small_disk):
    """A file that takes all the room there is."""
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**20))
    return filler


def test_on_a_full_disk_a_line_waits_and_comes_later_whole(small_disk):
    path = small_disk / "metrics.jsonl"
    writer = writers.JsonLinesWriter(path, last_line=0)
    writer.write_scalars(1, {"loss": 0.5})
    filler = filled(small_disk)
    long = {f"a_long_name_of_a_scalar_{number}": number for number in range(300)}
    with pytest.raises(OSError, match="No space left"):
        writer.write_scalars(2, long)
    assert path.read_text() == '{"step": 1, "loss": 0.5}\n'
    filler.unlink()
    writer.close()
    writer.write_scalars(3, {"loss": 0.25})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_on_a_full_disk_pictures_come_later(small_disk):
    writer = writers.PictureFilesWriter(small_disk)
    filler = filled(small_disk)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with pytest.raises(OSError, match="No space left"):
        writer.write_picture(2, "samples", noise)
    filler.unlink()
    writer.flush()
    assert [path.name for path in (small_disk / "samples").iterdir()] == ["step_0000002.png"]


def test_on_a_full_disk_tensorboard_says_so_and_later_events_are_readable(small_disk):
    writer = writers.TensorBoardWriter(small_disk / "tensorboard", last_line=0, last_picture=0)
    writer.write_scalars(1, {"loss": 0.5})
    filler = filled(small_disk)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with pytest.raises(OSError, match="No space left"):
        writer.write_picture(2, "samples", noise)
    assert events(small_disk / "tensorboard") == [(1, "loss")]
    filler.unlink()
    writer.write_scalars(3, {"loss": 0.25})
    assert events(small_disk / "tensorboard") == [(1, "loss"), (2, "samples"), (3, "loss")]


def test_multi_writer_lets_the_others_write_where_one_cannot(tmp_path):
    calls = []

    class Broken(writers.Writer):
        def write_scalars(self, step, scalars):
            raise OSError("broken")

    class Recorder(writers.Writer):
        def write_scalars(self, step, scalars):
            calls.append(step)

    writer = writers.MultiWriter([Broken(), Recorder()])
    with pytest.raises(OSError, match="broken"):
        writer.write_scalars(3, {})
    assert calls == [3]


def test_multi_writer_passes_everything_on():
    calls = []

    class Recorder(writers.Writer):
        def write_settings(self, settings):
            calls.append(settings)

        def write_scalars(self, step, scalars):
            calls.append((step, scalars))

        def write_picture(self, step, name, picture):
            calls.append((step, name))

        def close(self):
            calls.append("closed")

    writer = writers.MultiWriter([Recorder(), Recorder()])
    writer.write_settings({"a": 1})
    writer.write_scalars(1, {"b": 2.0})
    writer.write_picture(1, "c", np.zeros((1, 1, 3), np.uint8))
    writer.close()
    assert calls == [{"a": 1}] * 2 + [(1, {"b": 2.0})] * 2 + [(1, "c")] * 2 + ["closed"] * 2
