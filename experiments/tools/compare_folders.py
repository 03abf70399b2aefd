"""How good samples are: two folders of pictures compared, as a table and a CSV file.

    python -m experiments.tools.compare_folders --real=PATH --fake=PATH

Each is a folder of pictures, nested or not, or a .npz or .npy file of images. Nothing is
downloaded. Beside each value stands what other real pictures get in the samples' place: those of
--test, or a part of --real.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

import gan_core
from experiments.program.process import DONE, USAGE, import_tensorflow
from experiments.settings.evaluation import EXTRACTORS, make_extractor, write_csv
from gan_core import ArgumentError

_NUM_IN_PICTURE = 32


def _open(name: str, path: str, chosen: flags.FlagValues) -> gan_core.data.ImageSource:
    """A folder or a file of pictures, all of one shape."""
    given = Path(path).expanduser()
    is_array_file = given.suffix in gan_core.data.ARRAY_FILE_ENDINGS and given.is_file()
    if not given.is_dir() and not is_array_file:
        rule = "must be a folder of pictures, or a .npz or .npy file"
        raise ArgumentError(name, path, rule, "check the path")
    return gan_core.data.open_images(
        str(given.absolute()),
        image_shape=(chosen.image_size, chosen.image_size, 1 if chosen.grey else 3),
        cache_dir=Path(chosen.cache_dir).expanduser(),
    )


def _extractor(
    chosen: flags.FlagValues,
    real: gan_core.data.ImageSource,
    test: gan_core.data.ImageSource | None,
) -> gan_core.evaluation.Extractor:
    try:
        low, high = map(float, chosen.value_range)
    except ValueError as error:
        raise ArgumentError(
            "value_range", ",".join(chosen.value_range), "must be two numbers", "give -1,1, say"
        ) from error
    return make_extractor(
        chosen.extractor,
        real,
        test,
        path=chosen.extractor_path,
        value_range=(low, high),
        layer=chosen.layer,
        seed=chosen.seed,
        cache_dir=Path(chosen.cache_dir).expanduser(),
    )


def table(values: dict[str, float], protocol: gan_core.evaluation.Protocol) -> list[list[str]]:
    """Rows of metric, value and what other reals get; the first row is the heading."""
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
    """The table with the protocol's name in each row, and the whole protocol beside it."""
    columns = [*rows[0], "protocol"]
    gan_core.run.make_folder("output", path.absolute().parent)
    write_csv(path, [dict(zip(columns, [*r, protocol.short()], strict=True)) for r in rows[1:]])
    whole = json.dumps(protocol.whole(), indent=2) + "\n"
    gan_core.run.write_durably(path.with_suffix(".protocol.json"), whole.encode())


def _evaluate(chosen: flags.FlagValues) -> None:
    real = _open("real", chosen.real, chosen)
    fake = _open("fake", chosen.fake, chosen)
    test = _open("test", chosen.test, chosen) if chosen.test else None
    for source in filter(None, (real, fake, test)):
        print(source.describe())
    count = min(len(fake.images), chosen.num_samples)
    settings = gan_core.evaluation.JudgeSettings(num_samples=count, k=chosen.k, seed=chosen.seed)
    judge = gan_core.evaluation.Judge(
        _extractor(chosen, real, test),
        real,
        test,
        settings=settings,
        cache_dir=Path(chosen.cache_dir).expanduser(),
    )
    order = np.random.default_rng(chosen.seed).permutation(len(fake.images))
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
    output = Path(chosen.output).expanduser()
    _write(output, rows, protocol)
    if chosen.picture:
        pairs = gan_core.run.grid(judge.beside_nearest(samples[:_NUM_IN_PICTURE]), 8)
        words = "samples, each with its nearest training image at its right"
        picture = Path(chosen.picture).expanduser()
        gan_core.run.make_folder("picture", picture.parent)
        gan_core.run.write_durably(picture, gan_core.run.png_bytes(pairs, words))


def _define_flags() -> None:
    """When this is run, not when it is imported: other programs have flags of the same names."""
    flags.DEFINE_string("real", None, "Folder or file of the training pictures.", required=True)
    flags.DEFINE_string("fake", None, "Folder or file of the samples.", required=True)
    flags.DEFINE_string("test", "", "Folder or file of real pictures that were not trained on.")
    flags.DEFINE_integer("image_size", 64, "Side that all are fitted to.", lower_bound=4)
    flags.DEFINE_bool("grey", False, "Compare in grey.")
    flags.DEFINE_enum(
        "extractor",
        "random_convolutions",
        EXTRACTORS,
        "random_convolutions: for pictures without labels. classifier: trained on the folders of "
        "--real. auto: by whether there are such folders. inception: the file --extractor_path of "
        "the original graph. file: the Keras file or SavedModel --extractor_path.",
    )
    flags.DEFINE_string("extractor_path", "", "Of inception and file.")
    flags.DEFINE_list("value_range", ["-1", "1"], "What 0 and 255 are to a network of a file.")
    flags.DEFINE_string("layer", "", "Whose outputs are features, of a Keras file; the last's.")
    flags.DEFINE_integer("num_samples", 10_000, "At most so many samples.", lower_bound=2)
    flags.DEFINE_integer("k", 5, "Which neighbour makes a ball.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Which pictures are taken.", lower_bound=0)
    flags.DEFINE_string("cache_dir", "~/.cache/gan_core", "Where pictures and features are kept.")
    flags.DEFINE_string("output", "evaluation.csv", "The table; the protocol goes beside it.")
    flags.DEFINE_string("picture", "", "A PNG of samples beside their nearest training pictures.")


def main(arguments: list[str]) -> int:
    """Compares; exit code 2 where something cannot work."""
    try:
        if len(arguments) > 1:
            raise ArgumentError("arguments", arguments[1], "must be flags", "begin it with --")
        import_tensorflow()
        _evaluate(flags.FLAGS)
    except ArgumentError as error:
        print(error, file=sys.stderr)
        return USAGE
    return DONE


if __name__ == "__main__":
    _define_flags()
    app.run(main)
