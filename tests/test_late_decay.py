"""Whether a run says early that its time will be over before its learning rates have fallen."""

import pytest
from test_experiments import SMALL, experiment_named

from experiments.program import main as runner
from experiments.program.late_decay import LateDecay
from experiments.settings.settings import Settings

pytestmark = pytest.mark.usefixtures("forget_networks")


def told(forecasts, **settings):
    """What is said at which step, of forecasts (step, last step)."""
    lines = []
    defaults = {"total_steps": 10**6, "total_minutes": 20, "learning_rate_decay_steps": 15000}
    settings = Settings(learning_rate_schedule="cosine", **(defaults | settings))
    step = 0
    hook = LateDecay(settings, say=lambda words: lines.append((step, words)))
    for step, last_step in forecasts:
        assert hook(step, last_step) is None
    return lines


def test_it_is_told_once_after_a_twentieth_of_the_run_with_the_steps_to_give():
    ((step, words),) = told([(50, 90_000), (200, 4230), (212, 4230), (250, 4230), (300, 4000)])
    assert step == 212  # 200 is less than a twentieth; the first forecast was no good
    assert "20 minutes are about 4,200 steps" in words
    assert "fall until step 15,000" in words
    assert "--learning_rate_decay_steps=4200" in words


@pytest.mark.parametrize(("last_step", "is_told"), [(4799, True), (4800, False)])
def test_it_is_told_below_four_fifths_of_the_decay(last_step, is_told):
    assert bool(told([(1000, last_step)], learning_rate_decay_steps=6000)) == is_told


def test_nothing_is_told_of_a_run_that_ends_for_its_steps():
    assert not told([(1000, 4000)], total_steps=4000)


def test_steps_that_the_warm_up_takes_are_not_advised():
    """They would be refused: rates that fall must do so after their warm-up."""
    ((_, words),) = told([(300, 400)], learning_rate_warm_up_steps=400)
    assert "--learning_rate_decay_steps" not in words
    assert "give more --total_minutes" in words


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
