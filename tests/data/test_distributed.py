"""A dataset of one's own under each strategy: the same batches, shared out in order."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tiny_gan

import gan_core
from gan_core.data.distributed import without_autotune
from gan_core.errors import ArgumentError


def numbered(num_examples=20, size=8):
    """Images that are all their own number, named or in a Batch."""
    numbers = tf.data.Dataset.range(num_examples)
    images = numbers.map(lambda n: tf.fill([8, 8, 3], tf.cast(n, tf.uint8)))
    return tf.data.Dataset.zip((images, numbers)).repeat().batch(size, drop_remainder=True)


def as_dict(images, labels):
    return {"image": images, "label": labels}


def parts_of(value):
    return [np.asarray(part) for part in getattr(value, "values", [value])]


@pytest.mark.parametrize("make", [as_dict, gan_core.data.Batch])
def test_each_replica_gets_its_part_of_each_batch(make, one_device, mirrored):
    for strategy in (one_device, mirrored):
        batches = gan_core.data.distribute(numbered().map(make), strategy, 8)
        for number, batch in enumerate(itertools.islice(batches, 4)):
            assert type(batch) is (dict if make is as_dict else gan_core.data.Batch)
            images, labels = tf.nest.flatten(batch)
            labels = parts_of(labels)
            assert [len(part) for part in labels] == [8 // len(labels)] * len(labels)
            expected = np.arange(8 * number, 8 * number + 8) % 20
            np.testing.assert_array_equal(np.concatenate(labels), expected)
            np.testing.assert_array_equal(np.concatenate(parts_of(images))[:, 0, 0, 0], expected)


def test_workers_of_several_replicas_share_the_global_batch():
    datasets = []

    class Recorder:
        num_replicas_in_sync = 4

        def distribute_datasets_from_function(self, make_dataset, options):
            for pipeline in range(2):
                dataset = make_dataset(tf.distribute.InputContext(2, pipeline, 4))
                assert dataset.options().autotune.enabled is False  # dropping it would wait
                datasets.append(dataset.as_numpy_iterator())
            return datasets

    gan_core.data.distribute(numbered(), Recorder(), 8)
    labels = [[next(dataset)[1].tolist() for _ in range(2)] for dataset in datasets]
    assert labels == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_train_takes_it(name, request):
    strategy = request.getfixturevalue(name)
    gan = tiny_gan.build_gan(strategy, batch_norm=False)
    batches = gan_core.data.distribute(numbered().map(as_dict), strategy, 8)
    gan_core.train(gan, batches, total_steps=2)
    assert int(gan.images_seen.numpy()) == 16


def test_refuses_what_is_not_batched_at_the_global_size_or_ends(one_device, mirrored):
    unbatched = numbered().unbatch()
    for dataset in (unbatched, unbatched.batch(4, drop_remainder=True), unbatched.batch(8)):
        words = (
            r"must hold tensors batched at the global size, 8; use dataset\.repeat\(\)\.batch\(8"
        )
        with pytest.raises(ArgumentError, match=words):
            gan_core.data.distribute(dataset, one_device, 8)
    ragged = numbered().map(lambda images, labels: tf.RaggedTensor.from_row_lengths(labels, [3, 5]))
    with pytest.raises(ArgumentError, match=r"`dataset` \(RaggedTensorSpec\) must hold tensors"):
        gan_core.data.distribute(ragged, one_device, 8)
    with pytest.raises(ArgumentError, match=r"`dataset` \(2 batches\) must not end before"):
        gan_core.data.distribute(numbered().take(2), one_device, 8)
    with pytest.raises(ArgumentError, match=r"`dataset` \(list\) must be a tf.data.Dataset; make"):
        gan_core.data.distribute([1], one_device, 8)
    with pytest.raises(ArgumentError, match=r"`global_batch_size` \(7\) must be .* 2 replicas"):
        gan_core.data.distribute(numbered(size=7), mirrored, 7)
    unknown = numbered().map(
        lambda images, labels: tf.image.random_crop(images, [8, labels[0], 8, 3])
    )
    with pytest.raises(ArgumentError, match=r"must be of known sizes; resize the images"):
        gan_core.data.distribute(unknown, one_device, 8)


def test_a_plain_iterator_is_refused_on_several_replicas(mirrored):
    gan = tiny_gan.build_gan(mirrored, batch_norm=False)
    words = r"`batch` \(a tensor \(8, 8, 8, 3\)\) must be distributed over the 2 replicas; read it "
    with pytest.raises(ArgumentError, match=words + r"from gan_core\.data\.distribute\(dataset"):
        gan_core.train(gan, iter(numbered().map(as_dict)), total_steps=1)
    batch = next(iter(numbered()))
    for update in (gan.update_both, gan.update_discriminator, gan.update_generator):
        with pytest.raises(ArgumentError, match=r"must be distributed over the 2 replicas"):
            update(batch)
    assert int(gan.images_seen.numpy()) == 0


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_float_images_of_another_range_are_refused_by_train(one_device, steps_per_call):
    gan = tiny_gan.build_gan(one_device)
    floats = numbered(250).skip(2).map(lambda images, labels: tf.cast(images, tf.float32))
    words = r"`batch` \(float images from 16 to 23\) must be in `value_range`; use uint8 images"
    batches = gan_core.data.distribute(floats, one_device, 8)
    with pytest.raises(ArgumentError, match=words):
        gan_core.train(gan, batches, total_steps=2, steps_per_call=steps_per_call)


def test_the_same_elements_without_the_tuning_thread():
    dataset = tf.data.Dataset.range(7).map(lambda n: n * n, num_parallel_calls=tf.data.AUTOTUNE)
    plain = without_autotune(dataset)
    assert list(plain.as_numpy_iterator()) == [n * n for n in range(7)]
    assert plain.options().autotune.enabled is False
    assert dataset.options().autotune.enabled is None
