"""A run warns early if its time will be over before its learning rates have fallen."""

import pytest
from test_experiments import SMALL, experiment_named

from experiments.program import main as runner

pytestmark = pytest.mark.usefixtures("forget_networks")


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
    assert ("to let them fall in that time" in capsys.readouterr().out) == is_told
