"""In float64 the engine computes in float64 alone, and several devices agree with one to 1e-9."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import tiny_gan
from sizes import sampled

import gan_core

PROGRAM = Path(__file__).parent / "devices_program.py"


def all_operations(function, *arguments):
    """Those of a `tf.function`'s graph, and of all that it calls."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    called = [definition.graph for definition in graph._functions.values()]
    return [operation for each in (graph, *called) for operation in each.get_operations()]


@pytest.mark.usefixtures("float64")
def test_no_operation_of_an_update_computes_in_another_type(one_device):
    augment = gan_core.differentiable_augmentation(
        *gan_core.AUGMENTATIONS, probability=gan_core.AdaptiveProbability()
    )
    rate = gan_core.learning_rate(2e-4, warm_up_steps=3)
    gan = tiny_gan.build_gan(
        one_device,
        optimizer=lambda: gan_core.Adam(rate, gradient_accumulation_steps=2, clipnorm=1.0),
        game=gan_core.Game(
            regularizers=[
                gan_core.Regularizer("wgan_gp", gan_core.wgan_gp, 1.0, every_updates=2),
                gan_core.lecam(0.3),
            ],
            augment=augment,
        ),
        average_half_life_images=100,
    )
    batch = gan_core.data.Batch(
        tf.zeros([8, *tiny_gan.IMAGE_SHAPE], tf.uint8), tf.zeros([8], tf.int64)
    )

    def run():
        return gan.update_both(batch), gan.sample(gan.latents(4, tf.constant([0, 1])))

    others = {
        f"{operation.type} {operation.name}: {output.dtype.name}"
        for operation in all_operations(run)
        for output in operation.outputs
        if output.dtype.base_dtype.is_floating and output.dtype.base_dtype != tf.float64
    }
    assert not others


# What exact arithmetic keeps at 0 is a rounding error on any number of devices: biases before batch
# normalization, which takes them away again, and their moments. All else is larger.
ZERO = 1e-10
EXPERIMENTS = [
    ("fashion_mnist_gan", 1),
    ("fashion_mnist_gan", 2),
    ("fashion_mnist_dcgan", 1),
    ("fashion_mnist_dcgan", 2),
    ("svhn_dcgan", 1),
    ("mnist_dcgan", 1),
    ("dog_gan", 1),
    ("image_folder_gan", 1),
    ("rock_paper_scissors_dcgan", 1),
]
SAMPLE = [("fashion_mnist_gan", 2), ("fashion_mnist_dcgan", 1), ("svhn_dcgan", 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "discriminator_updates"), sampled(EXPERIMENTS, SAMPLE))
def test_two_devices_equal_one_after_20_steps(name, discriminator_updates):
    flags = ["--global_batch_size=4", f"--discriminator_updates={discriminator_updates}"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "float64", name, "20", *flags],
        env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    compared = json.loads(done.stdout.splitlines()[-1])
    relative = {
        path: difference / size for path, (difference, size) in compared.items() if size > ZERO
    }
    assert max(relative.values()) < 1e-9, sorted(relative.items(), key=lambda item: -item[1])[:5]
    left_out = compared.keys() - relative.keys()
    assert all("bias" in path or "average" in path for path in left_out), left_out
