import numpy as np
import pytest
from keras import layers

from experiments import benchmark, svhn_dcgan
from experiments.step_arithmetic import gradient_bytes, step_flops
from gan_core.layers import BatchNormalization


def test_arithmetic_of_a_step_by_hand():
    import keras

    generator = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(2 * 2 * 3),
            layers.Reshape((2, 2, 3)),
            layers.Conv2DTranspose(4, 3, 2, "same"),
        ]
    )
    discriminator = keras.Sequential(
        [keras.Input((4, 4, 4)), layers.Conv2D(6, 3, 2, "same"), layers.Flatten(), layers.Dense(1)]
    )
    dense, transposed = 5 * 12, 2 * 2 * 3 * 3 * 3 * 4
    convolution, logit = 2 * 2 * 3 * 3 * 4 * 6, 24
    expected = 2 * dense + 3 * transposed + 5 * convolution + 7 * logit
    assert step_flops(generator, discriminator, 10) == 2 * 10 * expected
    assert gradient_bytes(discriminator) == 4 * (3 * 3 * 4 * 6 + 6 + 24 + 1)


def test_peers_train_the_same_network_with_kerass_own_layers():
    generator, discriminator = benchmark.keras_networks(svhn_dcgan.EXPERIMENT)
    assert generator.count_params() == 4_936_963
    assert discriminator.count_params() == 1_034_881
    for network in (generator, discriminator):
        assert not any(isinstance(layer, BatchNormalization) for layer in network.layers)
        assert any(isinstance(layer, layers.BatchNormalization) for layer in network.layers)


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@pytest.mark.parametrize("make", [benchmark.make_engine, *benchmark._MAKERS.values()])
def test_each_contestant_trains(make):
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    contestant = make(svhn_dcgan.EXPERIMENT, images, 4, "float32")
    results = benchmark.measure([contestant], turns=2, steps_a_turn=1)
    [result] = results.values()
    assert len(result["step_seconds"]) == 2
    assert min(result["step_seconds"]) > 0
    if contestant.name == "gan_core":
        text = benchmark.table("svhn_dcgan", 4, results, {"float32": 1e12}, 10**9)
        assert "| gan_core | float32 |" in text
        assert benchmark.chart({"svhn_dcgan": results}).startswith(b"\x89PNG")
