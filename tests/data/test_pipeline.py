import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.data.pipeline import shuffled_indices
from gan_core.errors import ArgumentError


def labels_of(batches, count):
    """The labels, which number the images, of `count` global batches."""
    found = []
    for batch in itertools.islice(batches, count):
        parts = getattr(batch.labels, "values", [batch.labels])
        found.append(np.concatenate([np.asarray(part) for part in parts]))
    return np.concatenate(found)


@pytest.mark.parametrize("num_images", [1, 2, 3, 37, 1000])
@pytest.mark.parametrize("epoch", [0, 1, 12345])
def test_each_epoch_is_a_permutation(num_images, epoch):
    numbers = epoch * num_images + tf.range(num_images, dtype=tf.int64)
    indices = shuffled_indices(numbers, num_images, seed=5).numpy()
    assert sorted(indices) == list(range(num_images))


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(epoch, seed):
        numbers = epoch * 100 + tf.range(100, dtype=tf.int64)
        return tuple(shuffled_indices(numbers, 100, seed).numpy())

    orders = {order(epoch, seed) for epoch in range(5) for seed in range(5)}
    assert len(orders) == 25


def test_no_image_is_lost_or_doubled_within_an_epoch(one_device):
    """37 images in batches of 8: batches run across the ends of epochs."""
    batches = gan_core.data.image_batches(
        tiny_gan.source(37), global_batch_size=8, strategy=one_device, seed=1
    )
    labels = labels_of(batches, 37 * 3 // 8)
    for epoch in range(2):
        assert sorted(labels[37 * epoch : 37 * (epoch + 1)]) == list(range(37))


def test_images_come_with_their_labels_unchanged(one_device):
    source = tiny_gan.source(37)
    batch = next(gan_core.data.image_batches(source, global_batch_size=8, strategy=one_device))
    assert batch.images.dtype == tf.uint8
    np.testing.assert_array_equal(batch.images, source.images[batch.labels.numpy()])


def test_starting_later_goes_on_where_the_order_stood(one_device):
    source = tiny_gan.source(37)

    def batches(first_image):
        return gan_core.data.image_batches(
            source, global_batch_size=8, strategy=one_device, first_image=first_image
        )

    np.testing.assert_array_equal(labels_of(batches(0), 9)[40:], labels_of(batches(40), 4))


def test_the_order_does_not_depend_on_the_number_of_replicas(one_device, mirrored):
    source = tiny_gan.source(37)
    one, two = (
        gan_core.data.image_batches(source, global_batch_size=8, strategy=strategy, seed=3)
        for strategy in (one_device, mirrored)
    )
    np.testing.assert_array_equal(labels_of(one, 10), labels_of(two, 10))


def test_several_input_pipelines_share_the_global_batch(one_device):
    """The parts that two machines with two replicas each read form one global batch."""
    datasets = []

    class Recorder:
        num_replicas_in_sync = 4

        def distribute_datasets_from_function(self, make_dataset, options):
            for pipeline in range(2):
                context = tf.distribute.InputContext(2, pipeline, 4)
                dataset = make_dataset(context)
                assert dataset.options().autotune.enabled is False  # dropping it would wait
                datasets.append(dataset.as_numpy_iterator())
            return datasets

    source = tiny_gan.source(37)
    gan_core.data.image_batches(source, global_batch_size=8, strategy=Recorder(), seed=3)
    parts = [[next(dataset).labels for _ in range(2)] for dataset in datasets]
    whole = gan_core.data.image_batches(source, global_batch_size=8, strategy=one_device, seed=3)
    np.testing.assert_array_equal(
        np.concatenate([label for part in parts for label in part]), labels_of(whole, 1)
    )


def test_refuses_a_negative_start(one_device):
    with pytest.raises(ArgumentError, match=r"`first_image` \(-1\) must not be negative"):
        gan_core.data.image_batches(
            tiny_gan.source(), global_batch_size=8, strategy=one_device, first_image=-1
        )


def test_crops_and_flips_are_uniform_and_belong_to_the_image_number():
    """A picture whose pixels tell where they were: the crop's place can be read off."""
    rows, columns = np.mgrid[:10, :12].astype(np.uint8)
    picture = np.stack([rows, columns, rows], axis=-1)
    source = gan_core.data.ImageSource("coordinates", picture[None], np.zeros(1, np.int64))

    def read(numbers):
        return gan_core.data.read_images(
            source, tf.constant(numbers, tf.int64), seed=2, image_shape=(8, 8, 3), flip=True
        ).images.numpy()

    images = read(range(4000))
    tops, lefts = images[:, 0, 0, 0], images[..., 1].min((1, 2))
    mirrored = images[:, 0, 0, 1] > images[:, 0, 1, 1]
    np.testing.assert_allclose(np.bincount(tops) / 4000, np.full(3, 1 / 3), atol=0.03)
    np.testing.assert_allclose(np.bincount(lefts) / 4000, np.full(5, 1 / 5), atol=0.03)
    assert abs(mirrored.mean() - 0.5) < 0.03
    correlations = np.corrcoef([tops[1:], tops[:-1], lefts[1:], mirrored[1:], mirrored[:-1]])
    assert np.abs(correlations - np.eye(5)).max() < 0.06
    np.testing.assert_array_equal(read([7, 3]), images[[7, 3]])


def test_refuses_images_smaller_than_asked_for():
    with pytest.raises(ArgumentError, match=r"`image_shape` \(9x8x3\) must fit into .* 8x8x3"):
        gan_core.data.read_images(
            tiny_gan.source(), tf.range(2, dtype=tf.int64), image_shape=(9, 8, 3)
        )


def test_an_iterator_can_be_dropped_for_another_at_any_time():
    """In a process of its own: what this guards against is waiting for ever."""
    program = """
import sys
sys.path.insert(0, "tests")
import experiments, tiny_gan, gan_core
strategy = gan_core.make_strategy("one_device")
for number in range(20):
    batches = gan_core.data.image_batches(
        tiny_gan.source(3000), global_batch_size=512, strategy=strategy, flip=True
    )
    next(batches)
print("not stuck")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "not stuck\n", done.stderr


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_no_dataset_of_the_strategys_own_stands_behind_the_iterator(name, request):
    """Its tuning thread would sleep for up to a minute when the iterator is dropped."""
    strategy = request.getfixturevalue(name)
    batches = gan_core.data.image_batches(tiny_gan.source(), global_batch_size=8, strategy=strategy)
    kinds = [type(batches), *(type(part._iterator) for part in getattr(batches, "_iterators", []))]
    assert len(kinds) == {"one_device": 1, "mirrored": 3}[name]
    assert not any("MultiDevice" in kind.__name__ for kind in kinds)


def test_images_are_read_where_they_are(one_device):
    """Neither an aligned array nor a memory map is copied."""
    source = tiny_gan.source()
    images, _ = source.tensors()
    source.images[3, 0, 0, 0] ^= 255
    assert int(images[3, 0, 0, 0]) == source.images[3, 0, 0, 0]
    again = gan_core.data.ImageSource("same", source.images, source.labels)
    assert again.images is source.images
