import math

import keras
import pytest
import tensorflow as tf

import gan_core
from gan_core.learning_rates import learning_rate


@pytest.mark.parametrize("decay", gan_core.LEARNING_RATES)
@pytest.mark.parametrize("warm_up", [0, 4])
@pytest.mark.parametrize("final_share", [0.0, 0.25])
def test_equals_its_closed_form(decay, warm_up, final_share):
    schedule = learning_rate(
        0.5, decay, decay_steps=14, final_share=final_share, warm_up_steps=warm_up
    )
    if decay == "constant" and not warm_up:
        assert schedule == 0.5
        return
    for n in range(20):
        p = min(max((n - warm_up) / (14 - warm_up), 0.0), 1.0)
        falling = {"constant": 1.0, "linear": 1 - p, "cosine": (1 + math.cos(math.pi * p)) / 2}
        share = (
            falling[decay]
            if decay == "constant"
            else (final_share + (1 - final_share) * falling[decay])
        )
        if n < warm_up:
            share = (n + 1) / warm_up
        assert float(schedule(tf.constant(n, tf.int64))) == pytest.approx(0.5 * share, abs=1e-7)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("decay", gan_core.LEARNING_RATES)
def test_rises_in_the_type_that_keras_computes_in(decay):
    schedule = learning_rate(0.3, decay, decay_steps=14, warm_up_steps=7)
    assert float(schedule(tf.constant(1))) == pytest.approx(0.3 * 2 / 7, rel=1e-15)


def test_is_saved_with_its_optimizer():
    rate = learning_rate(0.5, "cosine", decay_steps=10, warm_up_steps=2)
    config = keras.saving.serialize_keras_object(gan_core.Adam(rate))
    loaded = keras.saving.deserialize_keras_object(config)
    for step in (0, 1, 2, 7, 12):
        count = tf.constant(step)
        assert float(loaded._learning_rate(count)) == float(rate(count))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": "exponential"}, r"`decay` \(exponential\) is not recognised"),
        ({"decay": "cosine"}, r"`decay_steps` \(0\) must be above `warm_up_steps` \(0\)"),
        (
            {"decay": "linear", "decay_steps": 5, "warm_up_steps": 5},
            r"`decay_steps` \(5\) must be above `warm_up_steps` \(5\); use the steps of the run",
        ),
        ({"warm_up_steps": -1}, r"`warm_up_steps` \(-1\) must not be negative"),
        ({"final_share": 1.5}, r"`final_share` \(1.5\) must be in \[0, 1\]"),
        ({"peak": 0.0}, r"`peak` \(0.0\) must be above 0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(gan_core.ArgumentError, match=message):
        learning_rate(**{"peak": 0.1} | arguments)
