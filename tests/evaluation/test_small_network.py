"""The network's shapes, and batches that take each image once an epoch."""

import keras
import numpy as np
import pytest

from gan_core.evaluation import small_network as module


@pytest.mark.parametrize("side", [28, 32, 64])
def test_the_last_layer_sees_most_of_the_image(side):
    network = module.classifier_network((side, side, 1), 10, seed=0)
    features, logits = network.output_shape
    assert (features, logits) == ((None, 128), (None, 10))
    sizes = [layer.output.shape[1] for layer in network.layers if "conv" in layer.name]
    assert sizes[-1] == 4
    assert network.count_params() < 300_000


def test_its_types_do_not_depend_on_the_policy_of_the_process():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = module.classifier_network((16, 16, 1), 2, seed=0)
    finally:
        keras.config.set_dtype_policy(before)
    assert {output.dtype for output in network.outputs} == {"float32"}


def test_batches_take_each_image_once_an_epoch_shifted():
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] + np.zeros((10, 8, 8, 1), np.uint8)
    images[:, 4, 4] += 100
    batches = list(module._batches(images, np.arange(10), 0, num_updates=6, batch_size=5))
    for epoch in range(3):
        labels = np.concatenate([labels for _, labels in batches[2 * epoch : 2 * epoch + 2]])
        assert sorted(labels) == list(range(10))
    places = {
        tuple(place - 4)
        for batch, labels in batches
        for place in np.argwhere(batch[..., 0] >= 100)[:, 1:]
    }
    assert max(max(map(abs, place)) for place in places) == 2
    assert len(places) > 10
    for batch, labels in batches:
        np.testing.assert_array_equal(np.median(batch, axis=(1, 2, 3)), labels)
