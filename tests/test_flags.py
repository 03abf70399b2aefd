from __future__ import annotations

import contextlib
import dataclasses
import json
import os

import pytest
from absl import flags as absl_flags

from experiments.settings.flag import IF_ALLOWED, NEVER, REQUIRED, Options, flag
from experiments.settings.help import documented_flags, help_text
from experiments.settings.parse import parse, parse_given
from experiments.settings.settings import EFFECTIVE_FLAGS, Settings, read_settings
from gan_core import ArgumentError


def test_order_of_precedence(tmp_path):
    """Flag default < experiment's default < flagfile < command line, in any order."""
    path = tmp_path / "some.flags"
    path.write_text("# a comment\n--total_steps=7\n--seed=8\n\n--global_batch_size=9\n")
    settings = read_settings(
        ["--seed=1", f"--flagfile={path}", "--dry_run"], {"beta_1": 0.9, "total_steps": 5}
    )
    assert settings.beta_1 == 0.9
    assert settings.total_steps == 7
    assert settings.seed == 1
    assert settings.global_batch_size == 9
    assert settings.dry_run is True
    assert settings.generator_learning_rate == 2e-4
    two_words = read_settings(["--seed", "1", "--flagfile", str(path)], {})
    assert (two_words.seed, two_words.total_steps) == (1, 7)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("--seed=3\n".encode("utf-16"), "must be UTF-8 text"),
        (b"--workdir=/tmp/\xfcx\n", "must be UTF-8 text"),
        (bytes(range(256)), "must be UTF-8 text"),
        (b"\xef\xbb\xbf--seed=3\n", "must not begin with a byte order mark"),
        (b"--flagfile={folder}/some.flags\n", "must not name itself"),
        (b"--flagfile={folder}/other.flags\n", "must not name itself"),
        (b"--flagfile\n{folder}/other.flags\n", "must not name itself"),
    ],
)
def test_unreadable_and_circular_flagfiles_are_refused(content, words, tmp_path):
    path = tmp_path / "some.flags"
    path.write_bytes(content.replace(b"{folder}", str(tmp_path).encode()))
    (tmp_path / "other.flags").write_text(f"--seed=1\n--flagfile={path}\n")
    with pytest.raises(ArgumentError, match=words):
        read_settings([f"--flagfile={path}"], {})


@pytest.mark.parametrize("name", ["workdir", "data_dir", "cache_dir", "output"])
@pytest.mark.parametrize("value", ["/a/\udcff", "/a\n--seed=3", "/a\0", "/a ", "\t/a"])
def test_paths_that_a_flagfile_cannot_hold_are_refused(name, value):
    with pytest.raises(ArgumentError, match=rf"`{name}` .*must (be UTF-8|have no spaces around)"):
        read_settings([f"--{name}={value}"], {})


def test_flagfiles_may_include_others_repeatedly(tmp_path):
    (tmp_path / "a").write_text("--seed=1\n")
    (tmp_path / "b").write_text(f"--flagfile={tmp_path}/a\n--beta_1=0.1\n")
    settings = read_settings([f"--flagfile={tmp_path}/a", f"--flagfile={tmp_path}/b"], {})
    assert (settings.seed, settings.beta_1) == (1, 0.1)


def test_every_number_has_an_upper_limit():
    for field in dataclasses.fields(Settings):
        if isinstance(field.default, bool) or not isinstance(field.default, (int, float)):
            continue
        for value in ("1e300", "-1e300", "inf", "nan"):
            with pytest.raises(ArgumentError, match=field.name):
                read_settings([f"--{field.name}={value}"], {})


def test_a_billion_steps_have_near_divisors():
    with pytest.raises(ArgumentError, match=r"must divide .*; use 5, 8 or 10"):
        read_settings(["--log_every_steps=1000000000", "--steps_per_call=7"], {})


def test_the_best_flagfile_is_used_if_none_is_named(tmp_path):
    (tmp_path / "original").write_text(
        "--dataset=mnist\n--num_classes=10\n--split=test\n--beta_1=0.3\n"
    )
    (tmp_path / "leaky").write_text("--networks=leaky\n--dataset=folder\n--flip\n--beta_1=0.4\n")
    defaults, best = {"dataset": "mnist", "beta_1": 0.2}, tmp_path.joinpath
    found = read_settings(["--seed=1"], defaults, best)
    assert (found.beta_1, found.num_classes, found.split, found.seed) == (0.3, 10, "test", 1)
    assert read_settings(["--dataset=mnist"], defaults, best).num_classes == 10
    # Settings that describe the data apply to that dataset only.
    other = read_settings(["--dataset", "fashion_mnist"], defaults, best)
    assert (other.beta_1, other.num_classes, other.split) == (0.3, 0, "train")
    # Other networks have other settings.
    for dataset, flip in (("folder", True), (str(tmp_path), True), ("mnist", False)):
        sister = read_settings(["--networks=leaky", f"--dataset={dataset}"], defaults, best)
        assert (sister.networks, sister.beta_1, sister.flip) == ("leaky", 0.4, flip)
    assert read_settings(["--networks=none"], defaults, best).beta_1 == 0.2
    named = tmp_path / "named.flags"
    named.write_text("--seed=5\n")
    for given in ([f"--flagfile={named}"], ["--flagfile", str(named)]):
        settings = read_settings(given, defaults, best)
        assert (settings.seed, settings.beta_1, settings.num_classes) == (5, 0.2, 0)
    # A run resumes with its own settings.
    leave_run(tmp_path, "--beta_1=0.7\n")
    assert read_settings([f"--workdir={tmp_path}"], defaults, best).beta_1 == 0.7


def test_flags_that_others_turn_off_are_ignored(tmp_path):
    (tmp_path / "original").write_text(
        "--augment=cutout\n--augment_probability=0.4\n--learning_rate_schedule=linear\n"
        "--learning_rate_decay_steps=70\n--learning_rate_final_share=0.1\n"
    )
    best = tmp_path.joinpath
    found = read_settings(["--augment=", "--learning_rate_schedule=constant"], {}, best)
    assert (found.augment_probability, found.learning_rate_decay_steps) == ("1", 0)
    with pytest.raises(ArgumentError, match="needs learning rates that change"):
        read_settings(
            ["--learning_rate_schedule=constant", "--learning_rate_decay_steps=9"], {}, best
        )


def test_the_effective_flagfile_gives_the_same_settings(tmp_path):
    settings = read_settings(["--seed=4", "--dry_run", "--precision=mixed_bfloat16"], {})
    path = tmp_path / "effective.flags"
    path.write_text(settings.as_flagfile())
    assert read_settings([f"--flagfile={path}"], {}) == settings


def test_each_setting_has_a_help_text():
    text = help_text(Settings, "", {"total_steps": 77})
    documented = documented_flags(Settings)
    for field in dataclasses.fields(Settings):
        assert f"--{field.name}=" in text
        assert documented[field.name][1].endswith(".")
    assert "Default: 77." in " ".join(text.split())
    assert read_settings(["--help"], {}) is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--total_step=3",
            r"`flag` \(--total_step=3\) is not known; did you mean --total_steps\?$",
        ),
        ("--cache_dir=", r"`cache_dir` \(empty\) must name a folder"),
        ("--qqq", r"`flag` \(--qqq\) is not known; see --help\.$"),
        ("--total_steps=many", r"`total_steps` \(many\) must be a whole number; write 1000 or 1e3"),
        ("--total_steps=2.5", r"`total_steps` \(2.5\) must be a whole number"),
        ("--total_steps=1e999", r"`total_steps` \(1e999\) must be a whole number"),
        ("--batch_size=3", r"\(--batch_size=3\) is not known; did you mean --global_batch_size\?$"),
        (
            "--learning_rate=3",
            "did you mean --generator_learning_rate or --discriminator_learning_rate\\?$",
        ),
        ("--lr=3", "did you mean --generator_learning_rate or --discriminator_learning_rate\\?$"),
        ("--log-every=3", r"did you mean --log_every_steps\?$"),
        ("--epochs=3", r"did you mean --total_steps\?$"),
        ("--out_dir=3", r"did you mean --workdir or --output\?$"),
        ("--logdir=3", r"did you mean --workdir\?$"),
        ("--num_image=3", r"did you mean --num_images\?$"),
        ("--dataset=/no/such/folder", r"`dataset` \(/no/such/folder\) must be a folder of pict"),
        ("--total_steps=-1", r"`total_steps` \(-1\) must be 0 or more"),
        ("--fake_label=1", r"`real_label` \(1.0\) must be above `fake_label` \(1.0\)"),
        ("--real_label=1.5", r"`real_label` \(1.5\) must be above .* both in \[0, 1\]"),
        ("--global_batch_size=0", r"`global_batch_size` \(0\) must be above 0"),
        (
            "--generator_learning_rate=nan",
            r"`generator_learning_rate` \(nan\) must be above 0, and",
        ),
        (
            "--generator_learning_rate=inf",
            r"`generator_learning_rate` \(inf\) must be above 0, and",
        ),
        (
            "--discriminator_learning_rate=-1e-3",
            r"`discriminator_learning_rate` \(-0.001\) must be",
        ),
        ("--beta_1=1", r"`beta_1` \(1.0\) must be below 1"),
        ("--beta_1=-0.1", r"`beta_1` \(-0.1\) must be 0 or more"),
        ("--beta_2=1", r"`beta_2` \(1.0\) must be below 1; the default is 0.999"),
        (
            "--learning_rate_decay_steps=9",
            r"`learning_rate_decay_steps` \(9\) needs learning rates that change; give --learning",
        ),
        ("--learning_rate_final_share=1.5", r"`learning_rate_final_share` \(1.5\) must be 1 at m"),
        ("--grad_clip=1", r"did you mean --clip_norm\?$"),
        ("--seed=4294967296", r"`seed` \(4294967296\) must be 2,147,483,647 at most"),
        (
            "--strategy=tpu",
            r"`strategy` \(tpu\) is not recognised; use one of auto, one_dev",
        ),
        (
            "--precision=int8",
            r"`precision` \(int8\) .* use one of auto, float32, mixed_bf",
        ),
        ("--loss=wgan", r"`loss` \(wgan\) .* use one of non_saturating, minimax, hinge"),
        ("--augment=cutout,x", r"`augment` \(x\) is not recognised; use one of colo"),
        ("--augment_probability=0.5", r"`augment_probability` \(0.5\) needs --augment; name some"),
        ("--augment_probability=2", r"`augment_probability` \(2\) must be from 0 to 1; or use ada"),
        ("--augment_target=0.5", r"`augment_target` \(0.5\) needs an adaptive probability; giv"),
        ("--augment_target=1", r"`augment_target` \(1.0\) must be below 1"),
        ("--mode=fly", r"`mode` \(fly\) .* use one of train, generate, evaluate, info"),
        (
            "--steps_per_call=30",
            r"`steps_per_call` \(30\) must divide `log_every_steps` \(100\); us",
        ),
        ("--steps_per_call=0", r"`steps_per_call` \(0\) must be above 0"),
        ("--flagfile=/no/such.flags", r"flagfile.*/no/such\.flags"),
        ("train", r"`arguments` \(train\) must be flags; write --name=value"),
    ],
)
def test_bad_flags_are_reported_in_one_line(argument, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        read_settings([argument], {})
    assert "\n" not in str(caught.value)


def test_an_adaptive_probability_needs_a_loss_with_a_neutral_logit():
    adaptive = ["--augment=cutout", "--augment_probability=adaptive"]
    assert read_settings([*adaptive, "--loss=hinge", "--augment_target=0.5"], {})
    with pytest.raises(ArgumentError, match=r"a logit of 0 means undecided, unlike `loss` \(rel"):
        read_settings([*adaptive, "--loss=relativistic"], {})


def test_whole_numbers_may_be_written_with_an_exponent():
    settings = read_settings(["--total_steps=1e4", "--global_batch_size=3.2e1"], {})
    assert (settings.total_steps, settings.global_batch_size) == (10_000, 32)
    assert isinstance(settings.total_steps, int)


def leave_run(folder, flagfile):
    """Leaves the settings of a run with a checkpoint."""
    (folder / EFFECTIVE_FLAGS).write_text(flagfile)
    (folder / "checkpoints" / "step_0000001").mkdir(parents=True)


def test_settings_of_a_start_without_a_checkpoint_are_ignored(tmp_path):
    (tmp_path / EFFECTIVE_FLAGS).write_text("--loss=hinge\n")
    (tmp_path / "checkpoints" / "partial_0000001").mkdir(parents=True)
    assert read_settings([f"--workdir={tmp_path}"], {}).loss == "non_saturating"
    (tmp_path / "checkpoints" / "step_0000001").mkdir()
    assert read_settings([f"--workdir={tmp_path}"], {}).loss == "hinge"


def test_settings_of_a_start_killed_before_its_first_checkpoint_are_ignored(tmp_path, capsys):
    """The weights to resume from were trained with other settings."""
    first = read_settings([f"--workdir={tmp_path}", "--learning_rate_schedule=cosine"], {})
    second = dataclasses.replace(
        first, generator_learning_rate=1e-3, learning_rate_final_share=0.5, total_steps=70
    )
    leave_run(tmp_path, second.as_flagfile())
    facts = {"settings": first.as_dict() | {"no_longer_there": 3}}
    (tmp_path / "checkpoints" / "step_0000001" / "facts.json").write_text(json.dumps(facts))
    third = read_settings([f"--workdir={tmp_path}"], {})
    assert third.changes_from(first.as_dict()) == {IF_ALLOWED: [], NEVER: []}
    assert third == first
    assert "ended before its first checkpoint" in capsys.readouterr().err
    again = read_settings([f"--workdir={tmp_path}", "--generator_learning_rate=1e-3"], {})
    words = "generator_learning_rate: was 0.0002, now 0.001"
    assert again.changes_from(first.as_dict())[IF_ALLOWED] == [words]
    longer = dataclasses.replace(first, total_steps=70)
    (tmp_path / EFFECTIVE_FLAGS).write_text(longer.as_flagfile())
    assert read_settings([f"--workdir={tmp_path}"], {}) == longer


def test_saved_flags_that_a_later_start_turns_off_are_ignored(tmp_path):
    given = ["--evaluate_every_steps=100", "--on_collapse=stop", "--stop_after_no_improvement=3"]
    leave_run(tmp_path, read_settings([f"--workdir={tmp_path}", *given], {}).as_flagfile())
    later = read_settings([f"--workdir={tmp_path}", "--evaluate_every_steps=0"], {})
    assert (later.on_collapse, later.stop_after_no_improvement) == ("warn", 0)
    with pytest.raises(ArgumentError, match=r"`on_collapse` \(stop\) needs"):
        read_settings(["--evaluate_every_steps=0", "--on_collapse=stop"], {})


def test_a_path_as_dataset_overrides_the_folder_of_the_run(tmp_path):
    """However it is spelled; the run compares the contents of the folders."""
    pictures, run = tmp_path / "pictures", tmp_path / "run"
    for folder in (pictures, run):
        folder.mkdir()
    first = read_settings([f"--dataset={pictures}", f"--workdir={run}"], {})
    leave_run(run, first.as_flagfile())
    again = read_settings([f"--dataset={pictures}/", f"--workdir={run}"], {})
    assert (again.dataset, again.data_dir) == ("folder", f"{pictures}/")


def test_a_path_as_dataset_is_a_folder_of_pictures(tmp_path):
    settings = read_settings([f"--dataset={tmp_path}"], {})
    assert (settings.dataset, settings.data_dir) == ("folder", str(tmp_path))
    assert read_settings([f"--dataset={tmp_path}", f"--data_dir={tmp_path}"], {}) == settings
    with pytest.raises(ArgumentError, match=r"`data_dir` \(/tmp\) must not name another folder"):
        read_settings([f"--dataset={tmp_path}", "--data_dir=/tmp"], {})
    for other in ("mnist", "cycle_gan/apple2orange", f"{tmp_path}/digits.npz"):
        with contextlib.suppress(ArgumentError):
            assert read_settings([f"--dataset={other}"], {}).dataset == other


def test_the_settings_of_the_run_in_the_workdir_are_read(tmp_path):
    """Defaults < the run's settings < flagfile < command line; flags of one start are not read."""
    workdir = f"--workdir={tmp_path}"
    start = [workdir, "--seed=4", "--total_steps=7", "--strategy=mirrored", "--dry_run"]
    settings = read_settings([*start, "--mode=info", "--workers=2"], {"split": "test"})
    leave_run(tmp_path, settings.as_flagfile())
    path = tmp_path / "some.flags"
    path.write_text("--total_steps=8\n--beta_1=0.1\n")

    later = read_settings([workdir, f"--flagfile={path}", "--beta_1=0.2"], {"split": "train"})
    assert (later.seed, later.split, later.strategy) == (4, "test", "mirrored")
    assert (later.total_steps, later.beta_1) == (8, 0.2)
    assert (later.mode, later.workers, later.dry_run) == ("train", 1, False)
    generating = read_settings([workdir, "--mode=generate"], {})
    assert (generating.seed, generating.strategy) == (4, "auto")
    (tmp_path / "effective.flags").write_text("--seed=5\n")
    partial = read_settings([workdir], {"split": "train+extra"})
    assert (partial.seed, partial.split) == (5, "train+extra")
    (tmp_path / "effective.flags").write_text("--no_such_flag=3\n")
    with pytest.raises(ArgumentError, match=r"holds settings that cannot be read: .*no_such_flag"):
        read_settings([workdir], {})


def test_a_decay_keeps_its_end_on_resume(tmp_path):
    """A decay that ends within the warm-up is refused."""
    start = [f"--workdir={tmp_path}", "--total_steps=70", "--learning_rate_schedule=cosine"]
    settings = read_settings(start, {})
    assert settings.learning_rate_decay_steps == 70
    leave_run(tmp_path, settings.as_flagfile())
    longer = read_settings([f"--workdir={tmp_path}", "--total_steps=90"], {})
    assert (longer.total_steps, longer.learning_rate_decay_steps) == (90, 70)
    assert longer.changes_from(settings.as_dict()) == {IF_ALLOWED: [], NEVER: []}
    other = read_settings([f"--workdir={tmp_path}", "--learning_rate_decay_steps=90"], {})
    changes = other.changes_from(settings.as_dict())
    assert changes[IF_ALLOWED] == ["learning_rate_decay_steps: was 70, now 90"]
    with pytest.raises(ArgumentError, match=r"\(70\) must be above .*warm_up_steps` \(70\)"):
        read_settings([*start, "--learning_rate_warm_up_steps=70"], {})


def test_a_setting_unknown_to_an_old_run_had_its_default():
    now = read_settings(["--loss=hinge"], {})
    before = now.as_dict()
    del before["loss"], before["r2_weight"]
    changes = now.changes_from(before)
    assert changes == {
        IF_ALLOWED: [],
        NEVER: ["loss: was non_saturating, now hinge"],
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other(Options):
    """Options of another program."""

    name: str = flag(REQUIRED, takes="word")
    """Name."""
    minutes: float = flag(REQUIRED, above=0)
    """Minutes."""
    sizes: tuple[int, ...] = flag((32, 64), above=0)
    """Sizes."""
    kinds: tuple[str, ...] = flag((), choices=("a", "b"))
    """Kinds."""
    extra: tuple[str, ...] = flag((), takes="values")
    """Extra flags."""
    folder: str = flag("~/x", is_path=True)
    """Folder."""
    quick: bool = flag(False)
    """Speed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passing(Options):
    """Options of a program that passes flags on."""

    name: str = flag(REQUIRED, takes="word")
    """Name."""
    seed: int = flag(0)
    """Seed."""
    flags: tuple[str, ...] = flag((), takes="rest")
    """Flags of the runs."""


def test_any_dataclass_of_flags_is_read():
    found = parse(
        Other,
        ["--minutes=2", "--sizes=1e2, 7", "it", "--kinds", "a,b", "--extra=x,y", "--extra=z"],
        {"quick": True},
    )
    assert (found.name, found.minutes, found.sizes) == ("it", 2.0, (100, 7))
    assert (found.kinds, found.extra, found.quick) == (("a", "b"), ("x,y", "z"), True)
    assert found.folder == os.path.expanduser("~/x")
    assert parse(Other, ["it", "--minutes=2", "--kinds=", "-noquick"], {"quick": True}) == Other(
        name="it", minutes=2, folder=os.path.expanduser("~/x")
    )
    assert parse(Other, ["--help"]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["it"], r"`minutes` \(missing\) must be given; give --minutes=VALUE; see --help"),
        (["--minutes=1"], r"`name` \(missing\) must be given; give one word; see --help"),
        (["it", "that", "--minutes=1"], r"`arguments` \(that\) must be flags"),
        (["it", "--minutes=0"], r"`minutes` \(0.0\) must be above 0, and finite; give another"),
        (["it", "--minutes=x"], r"`minutes` \(x\) must be a number"),
        (["it", "--minutes"], r"`flag` \(--minutes\) needs a value; write --minutes=VALUE"),
        (["it", "--minutes=1", "--sizes=3,0"], r"`sizes` \(0\) must be above 0"),
        (["it", "--minutes=1", "--sizes=3,x"], r"`sizes` \(x\) must be a whole number"),
        (["it", "--minutes=1", "--kinds=a,c"], r"`kinds` \(c\) .* use one of a, b"),
        (["it", "--minutes=1", "--quick=maybe"], r"`quick` \(maybe\) must be true or false"),
        (["it", "--minute=1"], r"`flag` \(--minute=1\) is not known; did you mean --minutes\?$"),
    ],
)
def test_other_programs_report_mistakes_in_one_line(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        parse(Other, arguments)


def test_unknown_flags_are_passed_on_in_order(tmp_path):
    passed = ["--flagfile=no_such", "--loss", "hinge", "--seeds=3", "--flip"]
    found = parse(Passing, ["it", *passed[:2], "--seed=4", *passed[2:]])
    assert found == Passing(name="it", seed=4, flags=tuple(passed))


def test_help_is_as_wide_as_the_terminal(monkeypatch):
    words = "Does something that takes a long sentence to tell.\n\n    python -m program"
    for columns in (30, 72, 500):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = help_text(Other, words)
        assert len(max(text.split("\n"), key=len)) <= min(columns, 100)
        assert "    python -m program\n" in text
    assert "--minutes=<float>\n    Minutes. Required.\n" in text
    assert "--sizes=<int,...>\n    Sizes. Default: 32,64.\n" in text
    assert "--flagfile=<file>" in text
    assert "--flagfile" not in help_text(Passing)


SYNTAX = [
    ["--seed=3"], ["--seed", "3"], ["-seed=3"], ["-seed", "3"], ["--flip"], ["--noflip"],
    ["--flip=1"], ["--flip=T"], ["--flip=False"], ["--augment=a=b"], ["--augment="],
    ["--seed=3", "--seed=4"], ["--augment", "--flip"], ["--beta_1=1e-3"], ["--nodeterministic"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", SYNTAX, ids=" ".join)
def test_the_syntax_is_that_of_absl(arguments):
    values = absl_flags.FlagValues()
    define = {"bool": "boolean", "int": "integer", "float": "float", "str": "string"}
    for field in dataclasses.fields(Settings):
        function = getattr(absl_flags, f"DEFINE_{define[field.type]}")
        function(field.name, field.default, "", flag_values=values)
    assert values(["program", *arguments]) == ["program"]
    given = parse_given(Settings, arguments)
    assert given == {name: values[name].value for name in values if values[name].present}
