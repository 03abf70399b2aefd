"""What the tests share: quiet TensorFlow, two logical CPUs, one strategy of each kind."""

import gc
import os

import pytest

import gan_core
from experiments.quiet_startup import import_tensorflow_quietly

import_tensorflow_quietly()
gan_core.make_virtual_devices(4)


@pytest.fixture(scope="session")
def mirrored():
    """The one MirroredStrategy of the process: a second one on its devices can abort."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def one_device():
    import tensorflow as tf

    return tf.distribute.OneDeviceStrategy("CPU:0")


@pytest.fixture
def forget_networks():
    """Frees what a test has trained: networks lie in rings of references, found late if at all."""
    yield
    import keras

    keras.backend.clear_session()
    gc.collect()


@pytest.fixture(scope="session")
def real_data_dir():
    """A TFDS directory with real images; tests that need one are skipped, visibly, without."""
    path = os.environ.get("GAN_CORE_DATA_DIR")
    if not path:
        pytest.skip("real images: GAN_CORE_DATA_DIR is not set")
    return path
