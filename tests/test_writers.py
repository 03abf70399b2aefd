import json

import numpy as np
import tensorflow as tf

from gan_core import writers


def test_json_lines_are_appended_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        writer = writers.JsonLinesWriter(path, last_step=step - 1)
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
    writer = writers.JsonLinesWriter(path, last_step=1)
    writer.write_scalars(2, {"loss": 0.5})
    writer.close()
    assert path.read_text() == '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.5}\n'


def test_pictures_are_files_by_name_and_step(tmp_path):
    writer = writers.PictureFilesWriter(tmp_path, "about")
    writer.write_picture(12, "samples", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "samples" / "step_0000012.png").is_file()


def test_tensorboard_events_hold_scalars_pictures_and_settings(tmp_path):
    writer = writers.TensorBoardWriter(tmp_path)
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
