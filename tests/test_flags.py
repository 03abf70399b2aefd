import dataclasses

import pytest

from experiments import flags
from gan_core import ArgumentError


def test_order_of_precedence(tmp_path):
    """Flag default < experiment's default < flagfile < command line, wherever it stands."""
    path = tmp_path / "some.flags"
    path.write_text("# a comment\n--total_steps=7\n--seed=8\n\n--global_batch_size=9\n")
    settings = flags.parse(
        ["--seed=1", f"--flagfile={path}", "--dry_run"], {"beta_1": 0.9, "total_steps": 5}
    )
    assert settings.beta_1 == 0.9
    assert settings.total_steps == 7
    assert settings.seed == 1
    assert settings.global_batch_size == 9
    assert settings.dry_run is True
    assert settings.generator_learning_rate == 2e-4
    two_words = flags.parse(["--seed", "1", "--flagfile", str(path)], {})
    assert (two_words.seed, two_words.total_steps) == (1, 7)


def test_the_effective_flagfile_gives_the_same_settings(tmp_path):
    settings = flags.parse(["--seed=4", "--dry_run", "--precision=mixed_bfloat16"], {})
    path = tmp_path / "effective.flags"
    path.write_text(settings.as_flagfile())
    assert flags.parse([f"--flagfile={path}"], {}) == settings


def test_each_setting_has_a_help_text():
    text = flags.help_text({"total_steps": 77})
    for field in dataclasses.fields(flags.Settings):
        assert f"--{field.name}=" in text
        assert field.metadata["help"].endswith(".")
    assert "Default: 77." in text
    assert flags.parse(["--help"], {}) is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--total_step=3",
            r"`flag` \(--total_step=3\) is not known; did you mean --total_steps\?$",
        ),
        ("--qqq", r"`flag` \(--qqq\) is not known; see --help\.$"),
        ("--total_steps=many", "total_steps=many.*see --help"),
        ("--total_steps=-1", r"`total_steps` \(-1\) must not be negative"),
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
        ("--beta_1=-0.1", r"`beta_1` \(-0.1\) must not be negative"),
        ("--seed=4294967296", r"`seed` \(4294967296\) must be below 2\*\*31"),
        (
            "--strategy=tpu",
            r"`strategy` \(tpu\) must be one of the known; use one of auto, one_dev",
        ),
        (
            "--precision=int8",
            r"`precision` \(int8\) .* use one of auto, float32, mixed_bf",
        ),
        ("--mode=fly", r"`mode` \(fly\) .* use one of train, generate, info"),
        (
            "--steps_per_call=30",
            r"`steps_per_call` \(30\) must divide `log_every_steps` \(100\); us",
        ),
        ("--steps_per_call=0", r"`steps_per_call` \(0\) must be above 0"),
        ("--flagfile=/no/such.flags", r"flagfile.*/no/such\.flags"),
        ("train", r"`arguments` \(train\) must be flags; write --name=value"),
    ],
)
def test_bad_flags_are_told_in_one_line(argument, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        flags.parse([argument], {})
    assert "\n" not in str(caught.value)
