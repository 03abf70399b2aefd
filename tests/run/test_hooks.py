import numpy as np
import pytest
import tensorflow as tf
import tiny_gan
from PIL import Image

import gan_core
from gan_core.run.writers import Writer


class Recorder(Writer):
    def __init__(self):
        self.scalars, self.pictures = [], []

    def write_scalars(self, step, scalars):
        self.scalars.append((step, dict(scalars)))

    def write_picture(self, step, name, picture):
        self.pictures.append((step, name, picture))


def test_window_writes_means_weighted_by_steps_and_rates_without_the_first_call(one_device):
    gan = tiny_gan.build_gan(one_device)
    now = [100.0]
    recorder = Recorder()
    window = gan_core.run.MetricsWindow(gan, recorder, clock=lambda: now[0])

    def call(step, loss, seconds, wait):
        now[0] += seconds
        gan.images_seen.assign(8 * step)
        metrics = {"a/loss": tf.constant(loss), "data_wait_seconds": tf.constant(wait)}
        window.add(step, metrics)

    call(1, 5.0, seconds=60.0, wait=0.1)
    call(4, 1.0, seconds=6.0, wait=0.5)
    window.write(4, {})
    [(step, scalars)] = recorder.scalars
    assert step == 4
    assert scalars["a/loss"] == pytest.approx((5.0 + 3 * 1.0) / 4)
    assert scalars["images_seen"] == 32
    assert scalars["seconds"] == pytest.approx(66.0)
    assert scalars["steps_per_sec"] == pytest.approx(3 / 6.0)
    assert scalars["images_per_sec"] == pytest.approx(8 * 3 / 6.0)
    assert scalars["data_wait"] == pytest.approx(3 * 0.5 / 6.0)
    assert "data_wait_seconds" not in scalars

    call(6, 2.0, seconds=1.0, wait=0.0)
    window.write(6, {})
    step, scalars = recorder.scalars[1]
    assert scalars["a/loss"] == 2.0
    assert scalars["steps_per_sec"] == pytest.approx(2.0)


def test_a_window_goes_on_where_it_was_saved(one_device):
    gan = tiny_gan.build_gan(one_device)
    losses = {1: 0.1, 2: 0.7, 3: 0.3, 4: 1.9}

    def lines(windows):
        recorder = Recorder()
        record = None
        for steps in windows:
            gan.step.assign(steps[0] - 1)
            window = gan_core.run.MetricsWindow(gan, recorder)
            if record:
                window.restore(record)
            for step in steps:
                check = {"generator/gradient": tf.zeros([])}
                loss = {"a/loss": tf.constant(losses[step])}
                window.add(step, loss | check | {"data_wait_seconds": tf.zeros([])})
                if step == 4:
                    window.write(step, {})
            record = window.record()
        [(step, scalars)] = recorder.scalars
        assert "generator/gradient" not in scalars
        return step, scalars["a/loss"]

    assert lines([[1, 2, 3, 4]]) == lines([[1], [2, 3], [4]])


def test_keeps_trying_where_the_disk_refuses():
    outcomes = iter([OSError("full"), OSError("full"), None, OSError("full"), OSError("still")])

    def hook(step, metrics):
        outcome = next(outcomes)
        if outcome:
            raise outcome

    keep = gan_core.run.KeepTrying("samples", hook, attempts=3)
    with pytest.warns(RuntimeWarning, match=r"step 1: samples cannot be written \(full\); traini"):
        keep(1, {})
    with pytest.warns(RuntimeWarning, match="step 2: "):
        keep(2, {})
    keep(3, {})
    with pytest.warns(RuntimeWarning, match="step 4: "):
        keep(4, {})
    short = gan_core.run.KeepTrying("checkpoint", hook, attempts=1)
    with pytest.raises(OSError, match="still"):
        short(5, {})


def test_sample_grid_shows_the_same_latents_each_time(one_device):
    gan = tiny_gan.build_gan(one_device)
    recorder = Recorder()
    draw = gan_core.run.SampleGrid(gan, recorder, "tiny, data", num_images=4)
    draw(0, {})
    draw(0, {})
    gan.update_generator()
    draw(1, {})
    (step, name, first), (_, _, same), (_, _, other) = recorder.pictures
    assert (step, name) == (0, "samples")
    assert first.shape == (400 + 16, 400, 3), "2x2 images of 8 pixels, enlarged, and a caption"
    np.testing.assert_array_equal(first, same)
    assert (first[:400] != other[:400]).any()


def test_curves_are_drawn_from_the_metrics_file(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    writer = gan_core.run.JsonLinesWriter(metrics, last_line=0)
    for step in (10, 20):
        writer.write_scalars(step, {"discriminator/real": 1.0 / step, "generator/loss": 2.0})
    writer.close()
    with metrics.open("a") as file:
        file.write('{"step": 30, "genera')
    assert [line["step"] for line in gan_core.run.read_metrics(metrics)] == [10, 20]
    draw = gan_core.run.hooks.CurvesPicture(tmp_path, "svhn, drawn_digits")
    draw(20, {})
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_drawing_curves_again_and_again_takes_no_memory(tmp_path):
    judged = {"step": 10, "best_step": 10, "best": 2.0, "frechet_distance@words": 2.0}
    writer = gan_core.run.JsonLinesWriter(tmp_path / "metrics.jsonl", last_line=0)
    writer.write_scalars(10, {"generator/loss": 2.0})
    writer.write_scalars(20, {f"evaluation/{name}": value for name, value in judged.items()})
    writer.close()
    draw = gan_core.run.hooks.CurvesPicture(tmp_path, "drawn_digits")
    for step in range(3):
        draw(step, {})
    before = gan_core.run.resident_gib()
    for step in range(10):
        draw(step, {})
    assert gan_core.run.resident_gib() - before < 0.01
