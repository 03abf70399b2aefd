import numpy as np
import pytest
import tensorflow as tf

from gan_core import losses

PAIRS = {"non_saturating": losses.non_saturating(), "wasserstein": losses.wasserstein()}
REAL = tf.constant([2.0, -1.0, 0.0])
FAKE = tf.constant([-3.0, 0.5, 0.0])


def test_non_saturating_equals_the_cross_entropies_worked_out_by_hand():
    pair = losses.non_saturating()
    terms = pair.discriminator(REAL, FAKE)
    np.testing.assert_allclose(terms["real"], [0.12692801, 1.3132617, 0.6931472], rtol=1e-6)
    np.testing.assert_allclose(terms["fake"], [0.04858735, 0.974077, 0.6931472], rtol=1e-6)
    adversarial = pair.generator(FAKE)["adversarial"]
    np.testing.assert_allclose(adversarial, [3.0485873, 0.474077, 0.6931472], rtol=1e-6)


def test_wasserstein_equals_the_signed_scores():
    pair = losses.wasserstein()
    terms = pair.discriminator(REAL, FAKE)
    np.testing.assert_array_equal(terms["real"], [-2.0, 1.0, 0.0])
    np.testing.assert_array_equal(terms["fake"], FAKE)
    np.testing.assert_array_equal(pair.generator(FAKE)["adversarial"], [3.0, -0.5, 0.0])


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_terms_are_per_example_and_finite_at_extreme_logits(pair):
    logits = tf.constant([1e4, -1e4, 0.0, 88.0])
    for term in (*pair.discriminator(logits, logits).values(), *pair.generator(logits).values()):
        assert term.shape == logits.shape
        assert np.isfinite(term).all()


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_gradients_have_the_signs_of_the_game(pair):
    logits = tf.constant([1.5, -0.5, 0.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([logits])
        discriminator = pair.discriminator(logits, tf.zeros(3))
        real = tf.add_n(list(discriminator.values()))
        fake = tf.add_n(list(pair.discriminator(tf.zeros(3), logits).values()))
        generator = tf.add_n(list(pair.generator(logits).values()))
    assert (tape.gradient(real, logits).numpy() < 0).all(), "real logits must be pushed up"
    assert (tape.gradient(fake, logits).numpy() > 0).all(), "fake logits must be pushed down"
    assert (tape.gradient(generator, logits).numpy() < 0).all(), "the generator pulls them up"
