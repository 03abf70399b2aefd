"""The program that compares two folders, as a user runs it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from digit_images import draw_digits
from PIL import Image

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    images, _ = draw_digits(0, range(60))
    for name, some in {"real": images[:40], "fake": images[30:]}.items():
        (folder / name).mkdir()
        for number, image in enumerate(some):
            Image.fromarray(image).save(folder / name / f"{number:02d}.png")
    return folder


def evaluate(folder, *arguments):
    command = [
        sys.executable,
        "-m",
        "experiments.tools.compare_folders",
        f"--cache_dir={folder / 'cache'}",
    ]
    command += [f"--output={folder / 'out' / 'table.csv'}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_two_folders_give_a_table_a_file_and_a_picture(folders):
    done = evaluate(
        folders, f"--real={folders}/real", f"--fake={folders}/fake", "--image_size=32",
        f"--picture={folders}/out/pairs.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows = list(csv.DictReader((folders / "out/table.csv").open()))
    values = {row["metric"]: row for row in rows}
    assert float(values["frechet_distance"]["value"]) > 0
    assert float(values["frechet_distance"]["of_reals"]) > 0
    # A third of the samples are training pictures.
    assert float(values["copied_share"]["value"]) >= 1 / 3
    protocol = json.loads((folders / "out/table.protocol.json").read_text())
    assert protocol["num_samples"] == 30
    assert rows[0]["protocol"].startswith("random_convolutions_30_")
    assert f"{values['recall']['value']}" in done.stdout
    with Image.open(folders / "out/pairs.png") as picture:
        pairs = np.asarray(picture)
    assert pairs.shape[1] == 8 * 32
    np.testing.assert_array_equal(pairs[:32, :32], pairs[:32, 32:64])


def test_what_cannot_work_is_told_in_a_line(folders):
    done = evaluate(folders, f"--real={folders}/real", f"--fake={folders}/none")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: `fake` ({folders}/none) must be a folder of pictures, or a .npz or .npy file; "
        "check the path.\n"
    )
