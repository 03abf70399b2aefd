"""Compares two folders of pictures, samples and real ones: a table and a CSV file.

    python -m experiments.tools.compare_folders --real=PATH --fake=PATH

Each is a folder of pictures, nested or not, or a .npz or .npy file of images. Nothing is
downloaded. Next to each value stands the value of other real pictures in place of the samples:
those of --test, or a part of --real.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

import gan_core
from experiments.program.process import Command
from experiments.settings.evaluation import EXTRACTORS, make_extractor, write_csv
from experiments.settings.flag import REQUIRED, Options, flag
from gan_core import ArgumentError

_NUM_IN_PICTURE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """Flags of the comparison."""

    real: str = flag(REQUIRED, is_path=True)
    """Folder or file of the training pictures."""
    fake: str = flag(REQUIRED, is_path=True)
    """Folder or file of the samples."""
    test: str = flag("", is_path=True)
    """Folder or file of real pictures that were not trained on."""
    image_size: int = flag(64, at_least=4)
    """Side to which all pictures are fitted."""
    grey: bool = flag(False)
    """Compare in grey."""
    extractor: str = flag("random_convolutions", choices=EXTRACTORS)
    """Source of the features. random_convolutions: for pictures without labels. classifier: trained
    on the folders of --real. auto: by whether there are such folders. inception: the file
    --extractor_path of the original graph. file: the Keras file or SavedModel --extractor_path."""
    extractor_path: str = flag("", is_path=True)
    """File of --extractor=inception or file."""
    value_range: tuple[float, ...] = flag((-1.0, 1.0), at_least=-1e12)
    """Values of 0 and 255 for a network from a file."""
    layer: str = flag("")
    """Layer of a Keras file whose outputs are the features; the last if empty."""
    num_samples: int = flag(10_000, at_least=2)
    """Largest number of samples to compare."""
    k: int = flag(5, at_least=1)
    """Neighbour rank that sets each ball's radius."""
    seed: int = flag(0)
    """Seed of the choice of samples."""
    cache_dir: str = flag("~/.cache/gan_core", is_path=True)
    """Folder of decoded pictures and features."""
    output: str = flag("evaluation.csv", is_path=True)
    """The table; the protocol is written next to it."""
    picture: str = flag("", is_path=True)
    """A PNG of samples beside their nearest training pictures; none if empty."""


def _open(name: str, path: str, options: CompareOptions) -> gan_core.data.ImageSource:
    """The images of a folder or a file, fitted to one shape."""
    given = Path(path)
    is_array_file = given.suffix in gan_core.data.ARRAY_FILE_ENDINGS and given.is_file()
    if not given.is_dir() and not is_array_file:
        rule = "must be a folder of pictures, or a .npz or .npy file"
        raise ArgumentError(name, path, rule, "check the path")
    return gan_core.data.open_images(
        str(given.absolute()),
        image_shape=(options.image_size, options.image_size, 1 if options.grey else 3),
        cache_dir=Path(options.cache_dir),
    )


def _extractor(
    options: CompareOptions,
    real: gan_core.data.ImageSource,
    test: gan_core.data.ImageSource | None,
) -> gan_core.evaluation.Extractor:
    if len(options.value_range) != 2:
        given = ",".join(map(str, options.value_range))
        raise ArgumentError("value_range", given, "must be two numbers", "give -1,1, for example")
    return make_extractor(
        options.extractor,
        real,
        test,
        path=options.extractor_path,
        value_range=options.value_range,
        layer=options.layer,
        seed=options.seed,
        cache_dir=Path(options.cache_dir),
    )


def table(values: dict[str, float], protocol: gan_core.evaluation.Protocol) -> list[list[str]]:
    """Rows of metric, value and value of other real images; the first row is the heading."""
    rows = [["metric", "value", "of_reals"]]
    for name in (key.split("@")[0] for key in values):
        if not name.endswith("_of_reals"):
            of_reals = values.get(protocol.key(f"{name}_of_reals"))
            rows.append(
                [
                    name,
                    f"{values[protocol.key(name)]:.6g}",
                    "" if of_reals is None else f"{of_reals:.6g}",
                ]
            )
    return rows


def _write(path: Path, rows: list[list[str]], protocol: gan_core.evaluation.Protocol) -> None:
    """Writes the table, with the protocol's name in each row, and the whole protocol next to it."""
    columns = [*rows[0], "protocol"]
    gan_core.run.make_folder("output", path.absolute().parent)
    write_csv(path, [dict(zip(columns, [*r, protocol.short()], strict=True)) for r in rows[1:]])
    whole = json.dumps(protocol.whole(), indent=2) + "\n"
    gan_core.run.write_durably(path.with_suffix(".protocol.json"), whole.encode())


def _compare(options: CompareOptions) -> None:
    real = _open("real", options.real, options)
    fake = _open("fake", options.fake, options)
    test = _open("test", options.test, options) if options.test else None
    for source in filter(None, (real, fake, test)):
        print(source.describe())
    count = min(len(fake.images), options.num_samples)
    settings = gan_core.evaluation.JudgeSettings(num_samples=count, k=options.k, seed=options.seed)
    judge = gan_core.evaluation.Judge(
        _extractor(options, real, test),
        real,
        test,
        settings=settings,
        cache_dir=Path(options.cache_dir),
    )
    order = np.random.default_rng(options.seed).permutation(len(fake.images))
    samples = fake.images[np.sort(order[:count])]
    rows = table(judge.score(samples), judge.protocol)
    protocol = judge.protocol
    print(
        f"{protocol.short()}: {protocol.num_samples:,} samples, {protocol.num_real:,} real images, "
        f"{protocol.num_others:,} others of {protocol.others}, {protocol.resizing}"
    )
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print(f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}".rstrip())
    output = Path(options.output)
    _write(output, rows, protocol)
    if options.picture:
        pairs = gan_core.run.grid(judge.beside_nearest(samples[:_NUM_IN_PICTURE]), 8)
        words = "samples, each with its nearest training image at its right"
        picture = Path(options.picture)
        gan_core.run.make_folder("picture", picture.parent)
        gan_core.run.write_durably(picture, gan_core.run.png_bytes(pairs, words))


COMMAND = Command(CompareOptions, _compare, __doc__)

if __name__ == "__main__":
    COMMAND.main()
