import math

import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.errors import ArgumentError
from gan_core.run.loop import make_step_loop


def run(gan, strategy, **kwargs):
    gan_core.train(gan, tiny_gan.batches(gan, strategy), **kwargs)


@pytest.mark.parametrize("steps_per_call", [1, 3, 5])
def test_calls_of_several_steps_change_nothing(one_device, steps_per_call):
    one, several = tiny_gan.build_gan(one_device), tiny_gan.build_gan(one_device)
    run(one, one_device, total_steps=7)
    run(several, one_device, total_steps=7, steps_per_call=steps_per_call)
    assert int(several.step) == 7
    assert int(several.images_seen) == 56
    for a, b in zip(
        tiny_gan.values(one.generator), tiny_gan.values(several.generator), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_hooks_get_the_means_over_each_call(one_device):
    one, several = tiny_gan.build_gan(one_device), tiny_gan.build_gan(one_device)
    every_step, every_call = [], []
    run(one, one_device, total_steps=4, hooks=[lambda step, metrics: every_step.append(metrics)])
    run(
        several,
        one_device,
        total_steps=4,
        steps_per_call=4,
        hooks=[lambda step, metrics: every_call.append((step, metrics))],
    )
    [(step, means)] = every_call
    assert step == 4
    for name in ("discriminator/loss", "generator/loss", "discriminator/fake_probability"):
        expected = np.mean([metrics[name] for metrics in every_step])
        np.testing.assert_allclose(means[name], expected, rtol=1e-5)
    assert 0 <= means["data_wait_seconds"] < 60


def test_intervals_are_met_and_single_steps_within_a_call_too(one_device):
    gan = tiny_gan.build_gan(one_device)
    due = []
    hook = gan_core.run.Every(4, lambda step, metrics: due.append(step), also_at=(1, 9, 10))
    calls = []
    hooks = [hook, lambda step, metrics: calls.append(step)]
    run(gan, one_device, total_steps=10, steps_per_call=2, hooks=hooks, stops=[3])
    assert due == [1, 4, 8, 9, 10]
    assert calls == [1, 2, 3, 4, 6, 8, 9, 10]
    assert [hook.last_due(step) for step in (0, 2, 4, 7, 9, 11)] == [0, 1, 4, 4, 9, 10]


def test_a_step_off_the_grid_gets_back_onto_it(one_device):
    gan = tiny_gan.build_gan(one_device)
    run(gan, one_device, total_steps=3)
    calls = []
    hooks = [lambda step, metrics: calls.append(step)]
    run(gan, one_device, total_steps=9, steps_per_call=4, hooks=hooks)
    assert calls == [4, 8, 9]


def test_nothing_is_done_when_the_total_is_reached(one_device):
    gan = tiny_gan.build_gan(one_device)
    run(gan, one_device, total_steps=1)
    before = tiny_gan.values(gan.generator)
    run(gan, one_device, total_steps=1)
    for a, b in zip(before, tiny_gan.values(gan.generator), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_is_traced_once_for_all_lengths_of_call(one_device):
    gan = tiny_gan.build_gan(one_device)
    traces = []

    def schedule(gan, batches):
        traces.append(1)
        return gan.update_both(next(batches))

    run_steps = make_step_loop(gan, schedule)
    batches = tiny_gan.batches(gan, one_device)
    for num_steps in (1, 3, 2):
        run_steps(batches, tf.constant(num_steps))
    assert len(traces) == 1


def test_trains_on_replicas(mirrored):
    gan = tiny_gan.build_gan(mirrored, batch_norm=False)
    seen = []
    run(gan, mirrored, total_steps=4, steps_per_call=2, hooks=[lambda *call: seen.append(call)])
    assert int(gan.step.numpy()) == 4
    assert all(np.isfinite(float(value)) for _, metrics in seen for value in metrics.values())


def test_refuses_calls_that_miss_an_interval(one_device):
    gan = tiny_gan.build_gan(one_device)
    hook = gan_core.run.Every(100, print)
    with pytest.raises(ArgumentError, match=r"`steps_per_call` \(30\) must divide `every_steps`"):
        run(gan, one_device, total_steps=60, steps_per_call=30, hooks=[hook])
    with pytest.raises(ArgumentError, match=r"`steps_per_call` \(0\) must be above 0"):
        run(gan, one_device, total_steps=60, steps_per_call=0)
    with pytest.raises(ArgumentError, match=r"`every_steps` \(0\) must be above 0"):
        gan_core.run.Every(0, print)


def test_refuses_schedules_that_return_no_metrics_or_too_many(one_device):
    gan = tiny_gan.build_gan(one_device)
    with pytest.raises(
        ArgumentError, match=r"`schedule` \(returns NoneType\) must return the metr"
    ):
        run(gan, one_device, total_steps=1, schedule=lambda gan, batches: None)
    many = {str(number): tf.zeros([]) for number in range(64)}
    with pytest.raises(ArgumentError, match=r"`metrics` \(64\) must be fewer than 64; observe"):
        run(gan, one_device, total_steps=1, schedule=lambda gan, batches: many)


def test_a_metric_may_end_in_gradient(one_device):
    gan = tiny_gan.build_gan(one_device)
    window = gan_core.run.MetricsWindow(gan, gan_core.run.Writer())
    window.add(1, {"mine/gradient": tf.constant(2.0), "generator/gradient": tf.constant(0.0)})
    assert window.record().sums == {"mine/gradient": 2.0}


class NotFiniteAt(gan_core.Game):
    """At step 5, counted from 1, one term or its gradient alone is not finite."""

    where = "value"

    def discriminator_terms(self, outputs):
        terms = super().discriminator_terms(outputs)
        is_bad = self.gan.step == 4
        if self.where == "value":
            return terms | {"real": terms["real"] + tf.where(is_bad, float("inf"), 0.0)}

        @tf.custom_gradient
        def spoil(term):
            return tf.identity(term), lambda upstream: tf.where(is_bad, float("nan"), upstream)

        return terms | {"real": spoil(terms["real"])}


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("value", ["discriminator/loss", "discriminator/real"]),
        ("gradient", ["discriminator/gradient"]),
    ],
)
def test_names_the_step_and_the_term_that_is_not_finite(where, expected, name, request):
    strategy = request.getfixturevalue(name)
    game = NotFiniteAt()
    game.where = where
    gan = game.gan = tiny_gan.build_gan(strategy, game=game)
    calls = []
    with pytest.raises(
        gan_core.run.NotFiniteError, match="not finite at step 5: discriminator/"
    ) as e:
        run(
            gan,
            strategy,
            total_steps=20,
            steps_per_call=4,
            hooks=[lambda step, metrics: calls.append(step)],
        )
    assert calls == [4]
    assert e.value.step == 5
    assert e.value.names == expected
    assert math.isfinite(e.value.metrics["generator/loss"])
