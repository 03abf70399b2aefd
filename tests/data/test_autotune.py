import tensorflow as tf

from gan_core.data.autotune import without_autotune


def test_the_same_elements_without_the_tuning_thread():
    dataset = tf.data.Dataset.range(7).map(lambda n: n * n, num_parallel_calls=tf.data.AUTOTUNE)
    plain = without_autotune(dataset)
    assert list(plain.as_numpy_iterator()) == [n * n for n in range(7)]
    assert plain.options().autotune.enabled is False
    assert dataset.options().autotune.enabled is None
