import pytest

from gan_core.errors import ArgumentError, check_divides, check_known, check_positive


def test_text_has_argument_value_rule_and_remedy():
    error = ArgumentError("seed", -1, "must not be negative", "use 0")
    assert str(error) == "`seed` (-1) must not be negative; use 0."


def test_it_is_one_line_of_which_one_sees_the_end():
    error = ArgumentError("TF_CONFIG", "a\nb" + "x" * 10_000, "must\rbe " + "y" * 10_000, "use 0")
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 5000
    assert str(error).startswith("`TF_CONFIG` (a\\nbxxx")
    assert str(error).endswith("yyy; use 0.")


def test_check_known_lists_what_may_be_given():
    with pytest.raises(ArgumentError) as caught:
        check_known("crop", "left", ("centre", "none"))
    assert str(caught.value) == "`crop` (left) is not recognised; use one of centre, none."
    check_known("crop", "none", ("centre", "none"))


def test_check_divides_names_the_nearest_that_do():
    with pytest.raises(ArgumentError) as caught:
        check_divides("steps_per_call", 30, "log_every_steps", 100)
    assert str(caught.value) == (
        "`steps_per_call` (30) must divide `log_every_steps` (100); use 20, 25 or 50."
    )
    check_divides("steps_per_call", 25, "log_every_steps", 100)


def test_check_divides_by_one_when_nothing_else_does():
    with pytest.raises(ArgumentError, match=r"use 1 or 7\.$"):
        check_divides("steps_per_call", 3, "log_every_steps", 7)


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_check_positive(value):
    with pytest.raises(ArgumentError, match=r"`keep` \(.*\) must be above 0"):
        check_positive("keep", value)
