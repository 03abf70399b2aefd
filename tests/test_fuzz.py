"""Mistakes in flags, flagfiles and folders: answered in one line, soon, with nothing written.

The cases are the same each time, a thousand in full size. `GAN_CORE_FUZZ=5` tries five times as
many others.
"""

import dataclasses
import os
import random
import re
import shutil
import string
import time
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sizes import size

from experiments.settings.flag import flag_of
from experiments.settings.settings import Settings
from experiments.tools.crash_test.starts import Start

# Beside other tests an answer takes as much longer as they take of the machine.
LIMIT_SECONDS = 60 if "PYTEST_XDIST_WORKER" in os.environ else 10
TIMES = int(os.environ.get("GAN_CORE_FUZZ", "0"))
EXPERIMENT = "fashion_mnist_gan"
NOT_TRIED = {
    "cache_dir",  # which may be written to
    "dry_run",  # what stands between a case and training
    "workers",  # which takes the import of TensorFlow so many times
}
FIELDS = [field for field in dataclasses.fields(Settings) if field.name not in NOT_TRIED]
pytestmark = pytest.mark.slow


def cases(count):
    return settings(
        max_examples=size(count // 5, count) * (TIMES or 1),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    Start(EXPERIMENT, ["--help"], folder / "first").end()  # which waits for the fork server
    return folder


@pytest.fixture(scope="module")
def trained(scratch):
    """A small run."""
    folder = scratch / "trained"
    arguments = [*tiny(folder), "--total_steps=4"]
    start = Start(EXPERIMENT, arguments, folder)
    assert start.end() == 0, start.printed
    return folder


def tiny(workdir):
    return [
        f"--flagfile={os.devnull}",
        "--dataset=drawn_digits",
        "--split=test",
        f"--workdir={workdir}",
        f"--cache_dir={workdir.parent / 'cache'}",
        *("--total_steps=4", "--global_batch_size=4", "--steps_per_call=1"),
        *("--log_every_steps=1", "--sample_every_steps=2", "--checkpoint_every_steps=2"),
    ]


def answer(arguments, workdir, may_write):
    """Runs a case; asserts that it is answered as promised, and returns its exit code."""
    begin = time.monotonic()
    start = Start(EXPERIMENT, arguments, workdir, watched=[Path("/")])
    code, seconds = start.end(), time.monotonic() - begin
    printed = start.printed
    assert seconds < LIMIT_SECONDS, (seconds, printed)
    assert "Traceback" not in printed, printed
    assert code in (0, 2), (code, printed)
    if code == 2:
        lines = [line for line in printed.splitlines() if not line.startswith("warning: ")]
        assert lines[-1].startswith("error: "), printed
        assert sum(line.startswith("error: ") for line in lines) == 1, printed
    for write in start.writes:
        _, path = write.split(" ", 1)
        # A temporary file without a name is told of as its folder; datasets make a temporary one.
        of_libraries = r"/matplotlib/|/\.cache/tensorflow_datasets$|^/tmp$|^/tmp/tmp\w+tfds"
        is_none_of_ours = re.search(rf"__pycache__|^/dev/|^/proc/|{of_libraries}", path)
        assert is_none_of_ours or path.startswith(tuple(map(str, may_write))), write
    return code


numbers = some.one_of(
    some.integers(-(10**30), 10**30),
    some.integers(-3, 300),
    some.floats(),
    some.sampled_from(
        ["1e3", "1e400", "0x10", "1_000", "٣", "", "-0", "+1", "nan", "inf", "1e-320"]
    ),
).map(str)
text = some.one_of(
    some.text(max_size=12),
    some.text(string.printable, max_size=300),
    some.sampled_from(["", " ", ".", "..", "/", "~", "//x", "a" * 300, "a\nb", "é", "\udcff"]),
    some.sampled_from(
        ["/dev/null", "/dev/zero/x", "/proc/self/mem", "/etc/passwd", "-", "--", "{}"]
    ),
)


@some.composite
def flag(draw):
    field = draw(some.sampled_from(FIELDS))
    choices = flag_of(field).choices
    known = [some.sampled_from([*choices])] if choices else []
    if isinstance(field.default, bool):
        known.append(some.sampled_from(["true", "false", "0", "yes"]))
    elif isinstance(field.default, (int, float)):
        known.append(numbers)
    value = draw(some.one_of(*known, *known, text, numbers))
    name = draw(some.sampled_from([field.name] * 9 + [field.name[:-1]]))
    return f"--{name}={value}"


@cases(400)
@given(flags=some.lists(flag(), min_size=1, max_size=3))
def test_flags(scratch, flags):
    # A process cannot be given what has a NUL; a flagfile can.
    arguments = [*tiny(scratch / "flags"), *(f.replace("\x00", "") for f in flags), "--dry_run"]
    answer(arguments, scratch / "flags", [scratch / "cache"])


@cases(250)
@given(
    content=some.one_of(
        some.binary(max_size=200),
        some.lists(some.one_of(flag(), text), max_size=4).map(
            lambda lines: "\n".join(lines).encode("utf-8", "surrogateescape")
        ),
        some.sampled_from(["utf-16", "latin-1", "utf-8-sig", "utf-7"]).map(
            lambda name: "--seed=3\n# ü\n".encode(name)
        ),
    )
)
def test_flagfiles(scratch, content):
    (scratch / "some.flags").write_bytes(content)
    arguments = [*tiny(scratch / "flagfiles"), f"--flagfile={scratch}/some.flags", "--dry_run"]
    answer(arguments, scratch / "flagfiles", [scratch / "cache"])


def damage(path, kind, seed):
    """Makes a file another, in some way."""
    choose = random.Random(seed)
    content = bytearray(path.read_bytes()) if path.is_file() else bytearray()
    path.unlink()
    if kind == "gone":
        return
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(choose.choice(["/dev/null", "/etc/passwd", "/nowhere", path.name, ".."]))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        if kind == "cut":
            del content[choose.randrange(len(content) + 1) :]
        elif kind == "noise":
            content = bytearray(choose.randbytes(choose.randrange(300)))
        elif kind == "longer":
            content += choose.randbytes(choose.randrange(1, 300))
        elif kind == "zeros":
            content = bytearray(len(content))
        elif content:
            for _ in range(choose.randrange(1, 9)):
                content[choose.randrange(len(content))] = choose.randrange(256)
        path.write_bytes(content)


damages = some.sampled_from(
    ["flip", "flip", "cut", "noise", "longer", "zeros", "gone", "folder", "link", "pipe"]
)


@cases(170)
@given(
    which=some.integers(0, 10**6),
    kind=damages,
    seed=some.integers(0, 10**6),
    mode=some.sampled_from(["train", "train", "further", "generate", "info"]),
)
def test_files_of_a_workdir(scratch, trained, which, kind, seed, mode):
    workdir = scratch / "damaged"
    shutil.rmtree(workdir, ignore_errors=True)
    shutil.copytree(trained, workdir)
    files = sorted(path for path in workdir.rglob("*") if path.is_file())
    damage(files[which % len(files)], kind, seed)
    arguments = tiny(workdir)
    if mode == "further":
        arguments.append("--total_steps=6")
    elif mode != "train":
        arguments = [f"--mode={mode}", f"--workdir={workdir}", "--num_images=4"]
    answer(arguments, workdir, [scratch / "cache", workdir])


@pytest.fixture(scope="module")
def pictures(scratch):
    folder = scratch / "pictures"
    (folder / "some").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 30, 40, 3), np.uint8)
    for ending in ("png", "jpg", "gif", "bmp", "webp"):
        imageio.imwrite(folder / "some" / f"a.{ending}", noise[0])
        imageio.imwrite(folder / f"b.{ending}", noise[1])
    imageio.imwrite(folder / "film.gif", noise)
    np.save(scratch / "images.npy", noise[..., :1])
    np.savez(scratch / "images.npz", images=noise, labels=np.arange(3))
    np.savez_compressed(scratch / "packed.npz", images=noise, labels=np.arange(3))
    return folder


@cases(180)
@given(
    which=some.integers(0, 10**6),
    kind=damages,
    seed=some.integers(0, 10**6),
    bad_images=some.sampled_from(["error", "skip"]),
    is_array=some.booleans(),
)
def test_files_of_pictures(scratch, pictures, which, kind, seed, bad_images, is_array):
    given_files = scratch / "given"
    shutil.rmtree(given_files, ignore_errors=True)
    shutil.copytree(pictures, given_files)
    files = sorted(path for path in given_files.rglob("*") if path.is_file())
    dataset = given_files
    if is_array:
        arrays = [scratch / name for name in ("images.npy", "images.npz", "packed.npz")]
        files = [Path(shutil.copy(path, given_files)) for path in arrays]
        dataset = files[which % len(files)]
    damage(files[which % len(files)], kind, seed)
    split = ("--dataset=drawn_digits", "--split=test")
    arguments = [word for word in tiny(scratch / "with_pictures") if word not in split]
    arguments += [f"--dataset={dataset}", f"--bad_images={bad_images}", "--dry_run"]
    answer(arguments, scratch / "with_pictures", [scratch / "cache"])
