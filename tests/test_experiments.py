"""Experiments as a user runs them, mostly in this process for speed."""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from digit_images import draw_digits
from PIL import Image

from experiments.program import main as runner
from experiments.settings import conditional
from experiments.settings.settings import read_settings

pytestmark = pytest.mark.usefixtures("forget_networks")

ROOT = Path(__file__).parent.parent
PARAMETERS = {
    # module: generator all, trainable, discriminator all, trainable
    "svhn_dcgan": (4_936_963, 4_935_171, 1_034_881, 1_034_113),
    "fashion_mnist_gan": (112_560, 112_560, 110_849, 110_849),
    "fashion_mnist_dcgan": (840_705, 840_321, 212_865, 212_865),
    "rock_paper_scissors_dcgan": (27_507_331, 27_506_435, 734_081, 734_081),
    "dog_gan": (9_664_259, 9_647_875, 25_901_953, 25_901_953),
    "image_folder_gan": (9_362_051, 9_345_667, 25_901_953, 25_901_953),
    "mnist_dcgan": (21_162_496, 21_162_496, 14_209, 14_209),
}
COMBINED = {"dog_gan": 35_566_212, "mnist_dcgan": 21_176_705}
CACHE = tempfile.TemporaryDirectory()
SMALL = [
    f"--flagfile={os.devnull}",  # instead of the best settings, the default
    f"--cache_dir={CACHE.name}",
    "--dataset=drawn_digits",
    "--split=test",
    "--total_steps=2",
    "--global_batch_size=4",
    "--strategy=one_device",
    "--steps_per_call=1",
    "--log_every_steps=1",
    "--sample_every_steps=2",
    "--checkpoint_every_steps=2",
]


def experiment_named(name):
    return importlib.import_module(f"experiments.{name}").EXPERIMENT


def run(name, *arguments):
    return runner.run(experiment_named(name), [*SMALL, *arguments])


def metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


SMALL_NETWORKS = {"svhn_dcgan", "fashion_mnist_gan", "fashion_mnist_dcgan"}
BY_SIZE = [
    name if name in SMALL_NETWORKS else pytest.param(name, marks=pytest.mark.slow)
    for name in PARAMETERS
]


@pytest.mark.parametrize("name", BY_SIZE)
def test_info_prints_the_parameter_counts(name, capsys, tmp_path):
    assert run(name, "--mode=info", f"--workdir={tmp_path}/none") == 0
    printed = capsys.readouterr().out
    generator, generator_trainable, discriminator, discriminator_trainable = PARAMETERS[name]
    assert f"generator: {generator:,} parameters, {generator_trainable:,} trainable" in printed
    assert (
        f"discriminator: {discriminator:,} parameters, {discriminator_trainable:,} trainable"
        in printed
    )
    both = COMBINED.get(name, generator + discriminator)
    assert f"both: {both:,} parameters" in printed
    assert re.search(r"data: drawn_digits/test: 2,000 images of \d+x\d+x[13],.* 10 cl", printed)
    assert "--total_steps=2" in printed
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", BY_SIZE)
def test_trains_resumes_and_writes_all_files(name, capsys, tmp_path):
    workdir = tmp_path / "deep" / "run"
    assert run(name, f"--workdir={workdir}") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^compiling the training step \(.*\)$", printed, flags=re.MULTILINE)
    assert re.search(r"^first step after \d+\.\d s: checks .*, TensorFlow ", printed, re.MULTILINE)
    assert re.search(r"^disk: [\d,]+ MiB per checkpoint, up to .* are free$", printed, re.MULTILINE)
    resumed = [f"--workdir={workdir}", "--total_steps=3"]
    assert run(name, *resumed) == 0
    printed = capsys.readouterr().out
    assert "from step 2 to 3" in printed
    assert "drawn_digits/test" in printed

    for file in ("effective.flags", "reals.png", "training.gif", "curves.png"):
        assert (workdir / file).stat().st_size, file
    assert len(list((workdir / "tensorboard").glob("events*"))) == 2
    steps = [path.name for path in sorted((workdir / "samples").iterdir())]
    assert steps == [f"step_{step:07d}.png" for step in (0, 2, 3)]
    assert "drawn_digits" in Image.open(workdir / "samples" / steps[0]).info["Description"]
    assert Image.open(workdir / "training.gif").n_frames == 3
    lines = metrics(workdir)
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert [line["images_seen"] for line in lines] == [4, 8, 12]
    expected = {
        "step", "images_seen", "seconds", "memory_gib",
        "discriminator/loss", "discriminator/real", "discriminator/fake",
        "discriminator/real_probability", "discriminator/fake_probability",
        "generator/loss", "generator/adversarial",
    }  # fmt: skip
    for line in lines:
        assert expected <= line.keys()
        assert all(np.isfinite(value) for value in line.values())
    assert {"images_per_sec", "data_wait"} <= lines[1].keys()
    assert run(name, *resumed) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_generates_a_grid_and_single_pictures(capsys, tmp_path):
    assert run("svhn_dcgan", f"--workdir={tmp_path}/run") == 0
    generate = ["--mode=generate", f"--workdir={tmp_path}/run", "--num_images=6"]
    assert run("svhn_dcgan", *generate) == 0
    grid = Image.open(tmp_path / "run" / "generated.png")
    assert "drawn_digits/test, step 2" in grid.info["Description"]
    assert run("svhn_dcgan", *generate, f"--output={tmp_path}/a", "--seed=5") == 0
    assert run("svhn_dcgan", *generate, f"--output={tmp_path}/b", "--seed=5") == 0
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "a").iterdir())]
    assert [picture.shape for picture in pictures] == [(32, 32, 3)] * 6
    for number, picture in enumerate(pictures):
        same = np.asarray(Image.open(tmp_path / "b" / f"{number:06d}.png"))
        np.testing.assert_array_equal(picture, same)
    assert (pictures[0] != pictures[1]).any()


def test_dry_run_checks_all_and_writes_nothing(capsys, tmp_path):
    assert run("svhn_dcgan", f"--workdir={tmp_path}/run", "--dry_run") == 0
    assert "dry run: everything fits; nothing was trained" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_schedules_continue_on_resume(tmp_path):
    """Both learning rates decay by steps, not updates; LeCam counts updates."""
    options = ["--learning_rate_schedule=linear", "--learning_rate_decay_steps=4"]
    options += ["--discriminator_updates=2", "--clip_norm=1", "--gradient_accumulation_steps=2"]
    options += ["--real_label=0.9", "--fake_label=0.1", "--consistency_weight=1"]
    options += ["--lecam_weight=0.1", "--augment=cutout,flip", "--augment_probability=adaptive"]
    for total_steps in (1, 3):
        arguments = [*options, f"--total_steps={total_steps}", f"--workdir={tmp_path}"]
        assert run("fashion_mnist_gan", *arguments) == 0
    for line in metrics(tmp_path):
        share = (line["step"] - 1) / 4
        assert line["generator/learning_rate"] == pytest.approx(2e-4 * (1 - share), rel=1e-5)
        share += 0.5 / 8  # the mean over two updates of eight
        assert line["discriminator/learning_rate"] == pytest.approx(2e-4 * (1 - share), rel=1e-5)
        assert line["game/lecam_updates"] == 2 * (line["step"] - 1) + 0.5
        assert 0 <= line["game/augment_probability"] <= 6 * 4 / 500_000
        assert line["discriminator/consistency"] >= 0
        # The cross-entropy with a smoothed label is never below the label's own entropy.
        assert line["discriminator/real"] >= -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) - 1e-6
    assert len(metrics(tmp_path)) == 3


def make_file(tmp_path):
    (tmp_path / "file").write_text("")
    return f"--workdir={tmp_path}/file/run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no_such_flag"], r"`flag` \(--no_such_flag\) is not known"),
        (["--dataset=no_such_set"], r"`dataset` \(no_such_set\) must be a known dataset"),
        (["--split=none"], r"`split` \(none\) must be a split of `drawn_digits`; use one of train"),
        ([make_file], r"`workdir` \(.*\) must be a folder, but .*/file is a file; move it"),
        (["--workdir=/proc/run"], r"`workdir` \(/proc/run\)"),
        (["--steps_per_call=2"], r"`steps_per_call` \(2\) must divide `log_every_steps` \(1\)"),
        (["--seed=-3"], r"`seed` \(-3\) must be 0 or more"),
        (["--mode=generate"], r"`workdir` \(.*\) must hold a checkpoint; train there first"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(arguments, message, capsys, tmp_path):
    arguments = [item(tmp_path) if callable(item) else item for item in arguments]
    before = sorted(tmp_path.rglob("*"))
    code = run("svhn_dcgan", f"--workdir={tmp_path}/run", *arguments)
    assert code == 2
    error = capsys.readouterr().err
    assert re.fullmatch(f"error: .*{message}.*\n", error), error
    assert sorted(tmp_path.rglob("*")) == before


def test_fitting_images_of_another_size_is_reported(capsys, tmp_path, real_data_dir):
    arguments = ["--dataset=mnist", "--split=test[:20]", f"--data_dir={real_data_dir}"]
    arguments += [f"--workdir={tmp_path}/run", f"--cache_dir={tmp_path}/cache"]
    assert run("svhn_dcgan", *arguments) == 0
    printed = capsys.readouterr().out
    assert "20 images of 32x32x3, fitted from 28x28x1 (crop: centre)" in printed


def test_trains_on_a_folder_and_on_an_array_file(capsys, tmp_path):
    digits, _ = draw_digits(0, range(12))
    (tmp_path / "pictures").mkdir()
    for number, digit in enumerate(digits):
        Image.fromarray(digit).save(tmp_path / "pictures" / f"{number}.png")
    np.savez(tmp_path / "digits.npz", images=digits)
    folder = ["--dataset=folder", f"--data_dir={tmp_path}/pictures", "--split=train"]
    file = [f"--dataset={tmp_path}/digits.npz", "--split=train"]
    for number, data in enumerate((folder, file)):
        options = ["--crop=random", "--flip", f"--cache_dir={tmp_path}/cache"]
        workdir = tmp_path / f"run{number}"
        assert run("svhn_dcgan", *data, *options, f"--workdir={workdir}") == 0
        assert np.isfinite(metrics(workdir)[-1]["generator/loss"])
    assert "folder pictures: 12 images of 36x36x3" in capsys.readouterr().out
    too_few = ["--global_batch_size=13", f"--workdir={tmp_path}/none", *folder]
    assert run("svhn_dcgan", *too_few) == 2
    assert "must hold a batch of 13 usable images at least, but has 12" in capsys.readouterr().err


def test_trains_on_real_street_numbers(tmp_path, real_data_dir):
    arguments = ["--dataset=svhn_cropped", "--split=train", f"--data_dir={real_data_dir}"]
    assert run("svhn_dcgan", *arguments, f"--workdir={tmp_path}") == 0
    assert np.isfinite(metrics(tmp_path)[-1]["generator/loss"])


def run_program(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "experiments.svhn_dcgan", *SMALL, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_as_a_program_on_two_virtual_devices(tmp_path):
    """In a process of its own: quiet and distributed, with all files."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": ""}
    options = ["--strategy=auto", "--virtual_devices=2", "--batch_norm=synchronized"]
    done = run_program(*options, f"--workdir={tmp_path}", **environment)
    assert done.returncode == 0, done.stderr
    words = "MirroredStrategy, 2 replicas on CPU:0, CPU:1 (auto: no GPUs, 2 virtual CPUs)"
    assert words in done.stdout
    assert len(metrics(tmp_path)) == 2


def test_as_a_program_it_is_quiet_and_refuses_an_uneven_batch(tmp_path):
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [
            sys.executable, "-m", "experiments.svhn_dcgan", *SMALL, f"--workdir={tmp_path}/run",
            "--strategy=mirrored", "--virtual_devices=3",
        ],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: `global_batch_size` (4) must be a positive multiple of the 3 replicas; use 3.\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments/flagfiles").glob("*.flags")), ids=lambda path: path.stem
)
def test_flagfiles_are_read_and_explained(path):
    assert path.read_text().startswith("# ")
    fitting = [name for name in PARAMETERS if path.stem.startswith(name)]
    name = max(fitting, key=len, default="svhn_dcgan")
    settings = read_settings([f"--flagfile={path}"], experiment_named(name).defaults)
    assert experiment_named(name).with_networks(settings.networks, settings.image_size)
    if path.stem == f"{name}_best":
        assert settings.networks == "original"


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_best_settings_are_the_default(name, capsys, monkeypatch):
    found = []
    monkeypatch.setattr(
        "experiments.program.main.preflight.check", lambda _, given: found.append(given)
    )
    monkeypatch.setattr("experiments.program.info.run", lambda *_: 0)
    best = ROOT / f"experiments/flagfiles/{name}_best.flags"
    original = ROOT / f"experiments/flagfiles/{name}.flags"
    for given in ([], [f"--flagfile={best}"], [f"--flagfile={original}"]):
        arguments = [*given, "--mode=info", "--data_dir=somewhere"]
        assert runner.run(experiment_named(name), arguments) == 0
    assert found[0] == found[1] != found[2]


def test_sister_networks_are_built_by_name_and_size(capsys, tmp_path):
    info = ["--mode=info", f"--workdir={tmp_path}"]
    assert run("fashion_mnist_dcgan", "--networks=no_dropout", *info) == 0
    assert "--networks=no_dropout: no dropout, " in capsys.readouterr().out
    assert run("image_folder_gan", "--networks=leaky", *info, "--image_size=48") == 0
    assert "2,000 images of 48x48x3" in capsys.readouterr().out
    for size in (16, 80, 208, 256):
        experiment = experiment_named("image_folder_gan").with_networks("leaky", size)
        assert experiment.build_generator(10).output_shape == (None, size, size, 3)
        assert experiment.build_discriminator().output_shape == (None, 1)
    assert run("image_folder_gan", *info, "--image_size=128") == 2
    assert "`image_size` (128) does not apply to the networks `original`" in capsys.readouterr().err
    assert run("svhn_dcgan", "--networks=no_batch_norm", "--image_size=64") == 2
    assert "have one size; leave it out" in capsys.readouterr().err
    for size, words in ((40, "must be a multiple of 16"), (272, "must be a multiple of 16")):
        assert run("image_folder_gan", "--networks=leaky", *info, f"--image_size={size}") == 2
        assert words in capsys.readouterr().err
    assert run("svhn_dcgan", "--networks=stylegan") == 2
    assert "`networks` (stylegan)" in capsys.readouterr().err


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_sister_does_no_more_arithmetic_than_the_original(name):
    from experiments.tools.benchmark.arithmetic import step_flops

    experiment = experiment_named(name)
    for sister in experiment.sisters:
        flops = [
            step_flops(each.build_generator(each.latents.size), each.build_discriminator(), 1)
            for each in (experiment.with_networks(sister, 0), experiment)
        ]
        assert flops[0] <= flops[1], sister


def test_each_experiment_has_its_flagfile_and_its_counts():
    modules = {path.stem for path in (ROOT / "experiments").glob("*.py")}
    assert modules - {"__init__", "__main__", "networks"} == set(PARAMETERS)
    assert set(PARAMETERS) <= {path.stem for path in (ROOT / "experiments/flagfiles").iterdir()}


def test_trains_by_class_with_a_class_in_each_row(tmp_path, capsys):
    classes = ["--num_classes=10", f"--workdir={tmp_path}"]
    assert run("fashion_mnist_gan", *classes) == 0
    picture = np.asarray(Image.open(tmp_path / "samples" / "step_0000002.png"))
    factor = -(-400 // (8 * 28))
    assert picture.shape[:2] == (10 * 28 * factor + 16, 8 * 28 * factor)
    assert run("fashion_mnist_gan", *classes, "--mode=generate", "--num_images=12") == 0
    assert (tmp_path / "generated.png").exists()
    assert run("fashion_mnist_gan", "--num_classes=9", f"--workdir={tmp_path}/other") == 2
    words = "`num_classes` (9) must be above the largest label of drawn_digits/test, 9; use 10."
    assert words in capsys.readouterr().err
    images = np.zeros([8, 28, 28, 1], np.uint8)
    np.save(tmp_path / "unlabelled.npy", images)
    unlabelled = [f"--dataset={tmp_path}/unlabelled.npy", f"--workdir={tmp_path}/third"]
    assert run("fashion_mnist_gan", *unlabelled, "--num_classes=10") == 2
    assert "`split` (test) is for datasets with splits" in capsys.readouterr().err
    assert run("fashion_mnist_gan", *unlabelled, "--num_classes=10", "--split=train") == 2
    assert "needs images with labels, but none of" in capsys.readouterr().err
    np.savez(tmp_path / "odd.npz", images=images, labels=np.array([-2, *range(7)]))
    odd = [f"--dataset={tmp_path}/odd.npz", "--split=train", f"--workdir={tmp_path}/fourth"]
    assert run("fashion_mnist_gan", *odd, "--num_classes=10") == 2
    assert "must have labels of 0 or more, but has -2; use -1 where" in capsys.readouterr().err


def test_images_of_unknown_class_get_a_zero_class_vector():
    keras.utils.set_random_seed(0)
    experiment = experiment_named("fashion_mnist_gan")
    generator, discriminator, _, inner_discriminator = conditional.build_networks(experiment, 3)
    images, labels = np.random.default_rng(0).random([3, 28, 28, 1]), np.array([-1, 0, 2])
    logits, inner = discriminator([images, labels]), inner_discriminator(images)
    np.testing.assert_array_equal(logits[0], inner[0])
    assert np.all(np.abs(logits[1:] - inner[1:]) > 1e-6)
    (class_vectors,) = [w for w in generator.trainable_weights if w.shape == (3, 32)]
    latents = np.ones([3, 30], np.float32)
    before = generator([latents, labels])
    class_vectors.assign_add(np.ones([3, 32], np.float32))
    after = generator([latents, labels])
    np.testing.assert_array_equal(before[0], after[0])
    assert np.all(np.max(np.abs(before - after), axis=(1, 2, 3))[1:] > 1e-6)


def _initial_sizes(name):
    """Root mean squares of the class's part of the logit and of the rest at initialization."""
    keras.utils.set_random_seed(0)
    _, discriminator, _, _ = conditional.build_networks(experiment_named(name), 3)
    images = np.random.default_rng(0).normal(size=[24, *discriminator.inputs[0].shape[1:]])
    without = np.asarray(discriminator([images, np.full(24, -1)]))
    added = [np.asarray(discriminator([images, np.full(24, c)])) - without for c in range(3)]
    return np.sqrt(np.mean(np.square(added))), np.sqrt(np.mean(np.square(without)))


@pytest.mark.parametrize("name", ["rock_paper_scissors_dcgan", "dog_gan"])
def test_class_and_image_contribute_alike_at_initialization(name):
    """With Keras's default range, the class would count 14 times as much for 524,288 features."""
    class_size, image_size = _initial_sizes(name)
    assert image_size / 3 < class_size < 3 * image_size


def test_a_class_contributes_less_than_the_image_if_features_are_few():
    class_size, image_size = _initial_sizes("fashion_mnist_gan")
    assert 0 < class_size < image_size / 2


def test_trains_and_evaluates_by_class_if_some_images_have_labels(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, [64, 28, 28, 1], np.uint8)
    np.savez(tmp_path / "some.npz", images=images, labels=np.where(draw.random(64) < 0.5, -1, 1))
    data = [f"--dataset={tmp_path}/some.npz", "--split=train", f"--workdir={tmp_path}/run"]
    judged = [
        "--evaluate_every_steps=2",
        "--evaluation_samples=64",
        "--extractor=random_convolutions",
    ]
    assert run("fashion_mnist_gan", *data, *judged, "--num_classes=2") == 0
    assert any("frechet_distance@" in name for name in metrics(tmp_path / "run")[-1])
