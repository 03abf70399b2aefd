import inspect
import types

import numpy as np
import pytest
import tensorflow as tf

import gan_core
from gan_core import losses
from gan_core.errors import ArgumentError

PAIRS = {name: maker() for name, maker in gan_core.LOSSES.items()}
PAIRS["smoothed"] = losses.non_saturating(real_label=0.9, fake_label=0.1)
CONVEX = {name: pair for name, pair in PAIRS.items() if name not in ("smoothed", "least_squares")}


def logits(real, fake):
    return types.SimpleNamespace(
        real_logits=tf.convert_to_tensor(real), fake_logits=tf.convert_to_tensor(fake)
    )


REAL = np.array([2.0, -1.0, 0.0])
FAKE = np.array([-3.0, 0.5, 0.0])


def softplus(x):
    return np.log1p(np.exp(x))


BY_HAND = {
    # name: discriminator's terms, generator's term
    "non_saturating": ({"real": softplus(-REAL), "fake": softplus(FAKE)}, softplus(-FAKE)),
    "minimax": ({"real": softplus(-REAL), "fake": softplus(FAKE)}, -softplus(FAKE)),
    "hinge": ({"real": [0.0, 2.0, 1.0], "fake": [0.0, 1.5, 1.0]}, [3.0, -0.5, 0.0]),
    "least_squares": (
        {"real": [0.5, 2.0, 0.5], "fake": [4.5, 0.125, 0.0]},
        [8.0, 0.125, 0.5],
    ),
    "wasserstein": ({"real": [-2.0, 1.0, 0.0], "fake": FAKE}, [3.0, -0.5, 0.0]),
    "relativistic": ({"relativistic": softplus(FAKE - REAL)}, softplus(REAL - FAKE)),
    "smoothed": (
        {
            "real": 0.9 * softplus(-REAL) + 0.1 * softplus(REAL),
            "fake": 0.1 * softplus(-FAKE) + 0.9 * softplus(FAKE),
        },
        softplus(-FAKE),
    ),
}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-14)])
@pytest.mark.parametrize("name", PAIRS)
def test_terms_equal_those_worked_out_by_hand(name, dtype, tolerance):
    expected, expected_generator = BY_HAND[name]
    game = logits(REAL.astype(dtype), FAKE.astype(dtype))
    terms = PAIRS[name].discriminator(game)
    assert terms.keys() == expected.keys()
    closeness = {"rtol": tolerance, "atol": tolerance / 100}
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, **closeness, err_msg=term)
    [generator] = PAIRS[name].generator(game).values()
    np.testing.assert_allclose(generator, expected_generator, **closeness)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_terms_are_per_example_and_finite_at_extreme_logits(pair):
    extreme = np.array([1e4, -1e4, 0.0, 88.0], np.float32)
    game = logits(extreme, extreme[::-1])
    for term in (*pair.discriminator(game).values(), *pair.generator(game).values()):
        assert term.shape == extreme.shape
        assert np.isfinite(term).all()


@pytest.mark.parametrize("pair", CONVEX.values(), ids=CONVEX.keys())
def test_gradients_have_the_signs_of_the_game(pair):
    real, fake = tf.constant([0.5, -0.5, 0.0]), tf.constant([-0.5, 0.5, 0.1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        game = logits(real, fake)
        discriminator = tf.add_n(list(pair.discriminator(game).values()))
        generator = tf.add_n(list(pair.generator(game).values()))
    assert (tape.gradient(discriminator, real).numpy() < 0).all(), "real logits must be pushed up"
    assert (tape.gradient(discriminator, fake).numpy() > 0).all(), "fake ones must be pushed down"
    assert (tape.gradient(generator, fake).numpy() < 0).all(), "the generator pulls them up"


@pytest.mark.parametrize("labels", [(0.4, 0.6), (1.1, 0.0), (0.5, 0.5), (1.0, -0.1)])
def test_refuses_labels_that_do_not_tell_real_from_fake(labels):
    with pytest.raises(ArgumentError, match=r"`real_label` \(.*\) must be above `fake_label`"):
        gan_core.non_saturating(*labels)


def test_all_can_be_chosen_by_name():
    makers = [
        name
        for name, make in vars(losses).items()
        if inspect.isfunction(make)
        and inspect.signature(make).return_annotation == "AdversarialLoss"
    ]
    assert makers == list(gan_core.LOSSES)
    assert all(getattr(gan_core, name) is getattr(losses, name) for name in makers)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_are_added_in_pairs(name):
    """TensorFlow's AddN takes more than two terms in an order that differs from run to run."""
    pair = PAIRS[name]

    @tf.function(autograph=False)
    def gradients(real, fake):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([real, fake])
            found = logits(real, fake)
            terms = [[*side(found).values()] for side in (pair.discriminator, pair.generator)]
        return [tape.gradient(side, [real, fake]) for side in terms]

    vector = tf.TensorSpec([3], tf.float32)
    operations = gradients.get_concrete_function(vector, vector).graph.get_operations()
    assert all(len(each.inputs) == 2 for each in operations if each.type == "AddN")
