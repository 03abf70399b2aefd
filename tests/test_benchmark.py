import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import gan_core
from experiments import svhn_dcgan
from experiments.tools.benchmark import contestants, keras_peers, report, starts, turns
from experiments.tools.benchmark.arithmetic import gradient_bytes, step_flops
from experiments.tools.benchmark.contestants import Task
from experiments.tools.benchmark.dcgan import dcgan
from experiments.tools.benchmark.keras_peers import keras_networks, tutorial_step

pytestmark = pytest.mark.usefixtures("forget_networks")

EAGER = [name for name in contestants._MODULES if "compiled" not in name]
PARAMETERS = (4_936_963, 1_034_881)


@pytest.fixture(autouse=True)
def restore_dtype_policy():
    yield
    keras.config.set_dtype_policy("float32")


def test_arithmetic_of_a_step_by_hand():
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
    networks = keras_networks(svhn_dcgan.EXPERIMENT)
    assert tuple(network.count_params() for network in networks) == PARAMETERS
    for network in networks:
        assert not any(type(layer).__module__.startswith("gan_core") for layer in network.layers)
        assert any(isinstance(layer, layers.BatchNormalization) for layer in network.layers)


def test_peers_upsample_by_kerass_own_layer():
    keras.utils.set_random_seed(0)
    ours = keras.Sequential(
        [
            keras.Input((3, 5, 2)),
            gan_core.fast.UpSamplingConv2D(4, 5, upsampling=4, activation="tanh"),
            gan_core.fast.UpSamplingConv2D(1, 3),
        ]
    )
    peers = keras_peers._with_keras_layers(ours)
    assert [type(layer) for layer in peers.layers] == 2 * [layers.UpSampling2D, layers.Conv2D]
    peers.set_weights(ours.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 2))
    np.testing.assert_allclose(peers(images), ours(images), rtol=0, atol=1e-5)


def test_a_step_of_the_tutorials_loop_by_hand():
    generator = keras.Sequential([keras.Input((5,)), layers.Dense(1, kernel_initializer="zeros")])
    discriminator = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    real, fake, slope, rate = 0.8, -0.3, 0.7, 0.25
    generator.set_weights([np.zeros([5, 1]), np.array([fake])])
    discriminator.set_weights([np.array([[slope]]), np.zeros(1)])
    optimizers = [keras.optimizers.SGD(rate) for _ in range(2)]
    step = tutorial_step(generator, discriminator, *optimizers, [4, 5])
    loss = step(tf.fill([4, 1], real))

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    np.testing.assert_allclose(loss, np.log1p(np.exp(-slope * fake)), rtol=1e-6)
    of_slope = -real * sigmoid(-slope * real) + fake * sigmoid(slope * fake)
    of_bias = -sigmoid(-slope * real) + sigmoid(slope * fake)
    of_fake = -slope * sigmoid(-slope * fake)
    new_slope, new_bias = discriminator.get_weights()
    np.testing.assert_allclose(new_slope[0, 0], slope - rate * of_slope, rtol=1e-6)
    np.testing.assert_allclose(new_bias[0], -rate * of_bias, rtol=1e-6)
    np.testing.assert_allclose(generator.get_weights()[1][0], fake - rate * of_fake, rtol=1e-6)


def test_networks_in_pytorch_have_the_same_sizes():
    torch = pytest.importorskip("torch")
    from experiments.tools.benchmark.torch_peers import torch_network

    for name in ("svhn_dcgan", "rock_paper_scissors_dcgan", "mnist_dcgan", "dog_gan"):
        for network in keras_networks(contestants.experiment_named(name)):
            translated = torch_network(network)
            trainable = sum(p.numel() for p in translated.parameters())
            assert trainable == sum(np.prod(v.shape) for v in network.trainable_variables)
            shape = network.input_shape[1:]
            inputs = torch.zeros(2, *(shape if len(shape) == 1 else (shape[2], *shape[:2])))
            outputs = network.output_shape[1:]
            expected = outputs if len(outputs) == 1 else (outputs[2], *outputs[:2])
            assert tuple(translated(inputs).shape) == (2, *expected)


def test_the_dcgan_of_32_pixels_is_that_of_svhn():
    experiment = dcgan("32")
    networks = (experiment.build_generator(100), experiment.build_discriminator())
    assert tuple(network.count_params() for network in networks) == PARAMETERS
    assert dcgan("128").build_generator(100).output_shape == (None, 128, 128, 3)


@pytest.mark.parametrize("name", ["dcgan_48", "dcgan_0", "dcgan_x", "no_such_experiment", "parts"])
def test_an_unknown_network_is_refused(name):
    with pytest.raises(gan_core.ArgumentError, match="experiment"):
        contestants.experiment_named(name)


@pytest.mark.parametrize("program", ["benchmark", "crash_test", "time_to_quality"])
def test_an_argument_that_is_no_flag_is_refused(program, capsys):
    main = importlib.import_module(f"experiments.tools.{program}.__main__")
    assert main.COMMAND.run(["svhn_dcgan"]) == 2
    assert "`arguments` (svhn_dcgan) must be flags" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", EAGER)
def test_each_contestant_trains(name, precision, monkeypatch):
    if name.startswith("torch"):
        pytest.importorskip("torch")
    monkeypatch.setattr(contestants, "_MOST_IMAGES", 16)
    contestant = contestants.maker_of(name)(Task("fashion_mnist_dcgan", 4, precision))
    before = contestant.weights()
    waited = contestant.run_steps(2)
    assert waited is None if name == "fit" else waited >= 0
    after = contestant.weights()
    assert sum(weights.size for weights in after) == 840_321 + 212_865
    for old, new in zip(before, after, strict=True):
        assert np.isfinite(new).all()
        assert not np.array_equal(old, new)


@pytest.mark.slow
def test_contestants_take_turns_in_processes_of_their_own(capsys):
    engine, rival = Task("fashion_mnist_gan", 4, "float32"), Task("fashion_mnist_gan", 8, "float32")
    broken = Task("no_such_experiment", 4, "float32")
    peers = [("tutorial", rival), ("fit", broken)]
    results = turns.measure([engine], peers, turns=2, seconds_a_turn=0.0)
    assert "left out: the process of fit, float32, of no_such_exp" in capsys.readouterr().out
    assert [result.title for result in results] == ["gan_core", "TensorFlow tutorial"]
    for result in results:
        assert len(result.step_seconds) == len(result.engine_seconds) >= 2
        assert min(result.step_seconds) > 0
        assert 0 < result.memory_gib < 4
        assert 0 <= result.waiting_share <= 1
    assert [t["float32"] for t in results[1].engine_seconds] == results[0].step_seconds[:2]


def test_a_contestant_that_dies_is_told():
    with pytest.raises(RuntimeError, match="process of gan_core, float32, of no_such"):
        turns.ContestantProcess("gan_core", Task("no_such_experiment", 4, "float32"))


def test_the_report_by_hand():
    engine_turns = [{"float32": 0.2, "mixed_bfloat16": seconds} for seconds in (0.1, 0.1, 0.2)]
    engine = turns.Result("gan_core", "mixed_bfloat16", 3.0, [0.1, 0.1, 0.2], 0.01, 1.5)
    rival = turns.Result("rival", "float32", 2.0, [0.4, 0.2, 0.2], None, 2.5)
    engine.engine_seconds = rival.engine_seconds = engine_turns
    assert report.ratio(rival) == 2.0
    assert report.ratio(rival, "float32") == 1.0

    comparison = report.Comparison("svhn_dcgan", 10, int(2e9), [engine, rival])
    text = report.table(comparison, {"float32": 2e10, "mixed_bfloat16": 4e10})
    assert (
        "| rival | float32 | 200 (200 to 400) | 50 | 2.00 | 1.00 | 50% |  | 2.50 GiB | 2.0 s |"
        in text.splitlines()
    )
    assert report.cost_table([comparison]).splitlines()[2:] == [
        "| svhn_dcgan | 10 | mixed_bfloat16 | 100 | 100 | 0.20 | 20 | 1.50 GiB |"
    ]
    assert tf.io.decode_png(report.chart([comparison])).shape[-1] == 4


@pytest.mark.slow
def test_parts_of_a_start_add_up_to_it():
    [start] = starts.measure("fashion_mnist_gan", 1)
    *parts, total = start.values()
    assert set(start) >= {"interpreter", "TensorFlow", "networks", "data"}
    assert all(seconds >= 0 for seconds in parts)
    assert sum(parts) == pytest.approx(total)
    assert f"| {list(start)[-1]} | {total:.1f} ({total:.1f} to {total:.1f}) |" in starts.table(
        [start]
    )


def test_a_start_that_fails_is_told(capfd):
    with pytest.raises(
        gan_core.ArgumentError, match=r"`experiment` \(none\) must come to its first step"
    ):
        starts.measure("none", 1)
    assert "No module named experiments.none" in capfd.readouterr().err
