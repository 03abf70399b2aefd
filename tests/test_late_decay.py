"""Whether a run says early that its time will be over before its learning rates have fallen."""

import pytest
from test_experiments import SMALL, experiment_named

from experiments import runner
from experiments.late_decay import LateDecay

pytestmark = pytest.mark.usefixtures("forget_networks")


def told(minutes, decay_steps, steps_per_second, first_step=1, seconds_a_call=1.0, calls=100):
    lines, now = [], [1000.0]

    def say(words):
        lines.append((now[0], words))

    hook = LateDecay(minutes, decay_steps, say, clock=lambda: now[0])
    for call in range(calls):
        now[0] = 1000.0 + call * seconds_a_call
        assert hook(first_step + round(call * seconds_a_call * steps_per_second), {}) is None
    return lines


def test_it_is_told_once_after_half_a_minute_with_the_steps_to_give():
    ((when, words),) = told(minutes=20, decay_steps=15000, steps_per_second=3.5)
    assert when == 1030
    assert "20 minutes are about 4,200 steps" in words
    assert "fall until step 15,000" in words
    assert "--learning_rate_decay_steps=4200" in words


def test_of_a_short_run_it_is_told_after_a_tenth():
    ((when, words),) = told(minutes=1, decay_steps=100, steps_per_second=0.5)
    assert when == 1006
    assert "--learning_rate_decay_steps=30" in words


@pytest.mark.parametrize(("steps_per_second", "is_told"), [(10 * 0.79, True), (10 * 0.81, False)])
def test_it_is_told_below_four_fifths_of_the_decay(steps_per_second, is_told):
    lines = told(minutes=10, decay_steps=6000, steps_per_second=steps_per_second)
    assert bool(lines) == is_told


def test_of_a_run_that_goes_on_nothing_is_told():
    assert not told(minutes=20, decay_steps=15000, steps_per_second=3.5, first_step=500)


@pytest.mark.parametrize(
    ("flags", "is_told"),
    [
        (["--learning_rate_decay_steps=1000000"], True),
        (["--learning_rate_decay_steps=2"], False),
        (["--learning_rate_schedule=constant"], False),
        (["--learning_rate_decay_steps=1000000", "--total_minutes=0", "--total_steps=9"], False),
    ],
)
def test_a_run_tells_it(flags, is_told, tmp_path, capsys):
    arguments = [*SMALL, f"--workdir={tmp_path / 'run'}", "--learning_rate_schedule=linear"]
    arguments += ["--total_steps=1000000", "--total_minutes=0.05", *flags]
    assert runner.run(experiment_named("fashion_mnist_gan"), arguments) == 0
    assert ("to have them fall in that time" in capsys.readouterr().out) == is_told
