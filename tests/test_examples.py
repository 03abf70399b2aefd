"""The examples train, go on exactly where they stopped, and do on two devices what one does."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sizes import sampled

import gan_core

pytestmark = pytest.mark.usefixtures("forget_networks")

ROOT = Path(__file__).parent.parent
NAMES = ["wgan_gp_svhn", "r3gan_svhn", "conditional_mnist", "cyclegan_digits", "custom_loop"]
TWICE = [(name, 1) for name in NAMES] + [(name, 2) for name in NAMES]
SAMPLE = [*[(name, 1) for name in NAMES], ("wgan_gp_svhn", 2)]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(one_device, cache_dir, monkeypatch):
    """Runs an example in this process for a few steps; returns what its last checkpoint holds."""

    def run(name, workdir, *arguments, strategy=one_device, total_steps=2):
        monkeypatch.setattr(gan_core, "make_strategy", lambda strategy_name: strategy)
        example = importlib.import_module(f"experiments.examples.{name}")
        small = ["--dataset=drawn_digits", "--split=test", f"--cache_dir={cache_dir}"]
        small += ["--global_batch_size=4", "--every_steps=1", f"--total_steps={total_steps}"]
        try:
            assert example.EXAMPLE.run([*small, f"--workdir={workdir}", *arguments]) == 0
        finally:
            keras.config.set_dtype_policy("float32")
        variables = str(workdir / "checkpoints" / f"step_{total_steps:07d}" / "variables")
        checkpoint = tf.train.load_checkpoint(variables)
        names = checkpoint.get_variable_to_shape_map()
        return {name: checkpoint.get_tensor(name) for name in names if "OBJECT" not in name}

    return run


@pytest.fixture
def synchronized_batch_normalization(monkeypatch):
    """Statistics of the global batch: of one replica's part they would be others by right."""

    def build(*arguments, **given):
        return keras.layers.BatchNormalization(*arguments, **given, synchronized=True)

    monkeypatch.setattr(gan_core.fast, "BatchNormalization", build)


def differences(before, after):
    """|a - b| / |a| over the weights of each network."""
    found = {}
    for network in ("generator", "discriminator"):
        names = [name for name in before if re.match(rf"{network}/\d+/", name)]
        a, b = (np.concatenate([np.ravel(x[n]) for n in names]) for x in (before, after))
        found[network] = np.linalg.norm(a - b) / np.linalg.norm(a)
    return found


def test_what_cannot_work_is_told_in_a_line():
    """As the experiments say it, and with their exit code."""
    command = [sys.executable, "-m", "experiments.examples.r3gan_svhn", "--global_batch_size=0"]
    done = subprocess.run(
        [*command, "--dataset=drawn_digits"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert re.match(r"error: `global_batch_size` \(0\) must be", last)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_is_short(name):
    text = (ROOT / "experiments" / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("\n") < 80


@pytest.mark.slow
@pytest.mark.parametrize(("name", "updates"), sampled(TWICE, SAMPLE))
@pytest.mark.parametrize("precision", sampled(["float32", "mixed_bfloat16"], ["float32"]))
def test_trains_and_goes_on_exactly(name, updates, precision, run, tmp_path):
    given = [f"--discriminator_updates={updates}", f"--precision={precision}"]
    whole = run(name, tmp_path / "whole", *given)
    run(name, tmp_path / "parts", *given, total_steps=1)
    parts = run(name, tmp_path / "parts", *given)
    assert len(list((tmp_path / "parts" / "samples").glob("step_*.png"))) >= 2
    assert whole.keys() == parts.keys()
    for variable, value in whole.items():
        np.testing.assert_array_equal(value, parts[variable], variable)
        assert np.isfinite(value).all()
    start = run(name, tmp_path / "start", *given, total_steps=1)
    assert min(differences(start, whole).values()) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("float64", "synchronized_batch_normalization")
@pytest.mark.parametrize(("name", "updates"), sampled(TWICE, [*SAMPLE[:2], SAMPLE[-1]]))
def test_two_devices_do_what_one_does(name, updates, run, mirrored, tmp_path, monkeypatch):
    monkeypatch.setattr(gan_core.fast, "choose_precision", lambda name: ("float64", ""))
    given = [f"--discriminator_updates={updates}", "--every_steps=20"]
    one = run(name, tmp_path / "one", *given, total_steps=20)
    two = run(name, tmp_path / "two", *given, total_steps=20, strategy=mirrored)
    assert one["generator/0/.ATTRIBUTES/VARIABLE_VALUE"].dtype == np.float64
    assert max(differences(one, two).values()) < 1e-9


def test_one_trains_and_goes_on_exactly_in_the_quick_suite(run, tmp_path):
    test_trains_and_goes_on_exactly("custom_loop", 1, "float32", run, tmp_path)
