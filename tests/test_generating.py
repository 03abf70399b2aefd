"""`--mode=generate`: outputs, their limits, and full disks."""

import numpy as np
import pytest
from PIL import Image
from test_experiments import run

import gan_core
from experiments.program import generate as generating
from experiments.program.process import CANNOT_WRITE, USAGE

NAME = "fashion_mnist_gan"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    assert run(NAME, f"--workdir={workdir}") == 0
    return f"--workdir={workdir}"


def generate(trained, *arguments):
    return run(NAME, "--mode=generate", trained, *arguments)


def refused(trained, capsys, *arguments):
    assert generate(trained, *arguments) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_grid_is_a_file_and_everything_else_a_folder(trained, tmp_path, capsys):
    assert generate(trained, f"--output={tmp_path}/a.PNG", "--num_images=5") == 0
    assert Image.open(tmp_path / "a.PNG").size[0] >= 3 * 28
    assert generate(trained, f"--output={tmp_path}/v1.5", "--num_images=130") == 0
    assert len(list((tmp_path / "v1.5").iterdir())) == 130
    assert "130 pictures of fashion_mnist_gan" in capsys.readouterr().out


def test_pictures_of_two_calls_are_not_mixed(trained, tmp_path, capsys):
    output = f"--output={tmp_path}/pictures"
    for count in (4, 4, 6):
        assert generate(trained, output, f"--num_images={count}") == 0
    capsys.readouterr()
    line = refused(trained, capsys, output, "--num_images=5")
    assert "holds more than 5 pictures of an earlier call (000005.png)" in line


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".gif", ".webp"])
def test_other_pictures_are_refused(ending, trained, tmp_path, capsys):
    line = refused(trained, capsys, f"--output={tmp_path}/a{ending}")
    assert line.endswith("must end in .png, or be a folder; use .png.")
    assert not list(tmp_path.iterdir())


def test_unwritable_outputs_are_refused_first(trained, tmp_path, capsys):
    (tmp_path / "d.png").mkdir()
    assert "must not be a folder" in refused(trained, capsys, f"--output={tmp_path}/d.png")
    for name in ("x" * 300, "x" * 300 + ".png"):
        line = refused(trained, capsys, f"--output={tmp_path}/{name}")
        assert "contains a name of more than 255 bytes" in line
    assert run(NAME, f"--workdir={tmp_path}/{'ü' * 200}") == USAGE
    assert "contains a name of more than 255 bytes" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert "file is a file" in refused(trained, capsys, f"--output={tmp_path}/file")
    assert (tmp_path / "file").read_text() == "mine"


def test_too_many_for_one_grid_are_refused(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(generating, "_MOST_PIXELS", 10 * 28 * 28)
    assert generate(trained, f"--output={tmp_path}/ten.png", "--num_images=10") == 0
    line = refused(trained, capsys, f"--output={tmp_path}/eleven.png", "--num_images=11")
    assert "`num_images` (11) are too many for one picture of 7,840 pixels" in line
    assert not (tmp_path / "eleven.png").exists()


def test_many_are_not_held_in_memory(one_device):
    """Batches are the parts of `generate_samples`, each made on demand."""
    import tiny_gan

    gan = tiny_gan.build_gan(one_device)
    whole = gan_core.run.generate_samples(gan, 150, "generate")
    batches = gan_core.run.generate_sample_batches(gan, 10**9, "generate")
    first, second = next(batches), next(batches)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole[:128])


@pytest.mark.parametrize("output", ["grid.png", "folder"])
def test_a_full_disk_leaves_complete_pictures_and_one_line(
    output, trained, tmp_path, capsys, monkeypatch
):
    """There is room for three pictures, but not for a grid."""
    written = []

    def fill(path, data):
        written.append(path)
        with path.open("wb") as file:
            file.write(data if len(written) <= 3 else data[:20])
        if len(written) > 3:
            raise OSError(28, "No space left on device")

    def refuse(partial, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fill)
    monkeypatch.setattr("gan_core.files.publish", refuse)
    code = generate(trained, f"--output={tmp_path}/{output}", "--num_images=9")
    assert code == CANNOT_WRITE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write {tmp_path}/{output} (")
    assert line.endswith("make room")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == (3 if output == "folder" else 0)
    for path in left:
        Image.open(path).load()
