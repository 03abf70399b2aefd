"""In float64 the engine computes in float64 alone, from images to weights."""

import pytest
import tensorflow as tf
import tiny_gan

import gan_core


def all_operations(function, *arguments):
    """Those of a `tf.function`'s graph, and of all that it calls."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    called = [definition.graph for definition in graph._functions.values()]
    return [operation for each in (graph, *called) for operation in each.get_operations()]


@pytest.mark.usefixtures("float64")
def test_no_operation_of_an_update_computes_in_another_type(one_device):
    augment = gan_core.differentiable_augmentation("colour", "translation", "cutout")
    penalties = {
        "r1": gan_core.r1,
        "wgan_gp": gan_core.wgan_gp,
        "consistency": gan_core.consistency(augment),
    }
    gan = tiny_gan.build_gan(
        one_device,
        game=gan_core.Game(
            regularizers=[
                gan_core.Regularizer(name, each, 1.0) for name, each in penalties.items()
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
