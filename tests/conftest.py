"""Fixtures of all tests: quiet TensorFlow, logical CPUs, one strategy of each kind."""

import gc
import os

import pytest
from sizes import IS_FULL

import gan_core
from experiments.program.process import import_tensorflow


def pytest_configure(config):
    """Imports TensorFlow once per process; the one that only distributes tests does not need it."""
    only_hands_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    # TensorFlow's own allocator on x86 keeps its peak memory.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    if only_hands_out:
        # For its child processes: large tensors return to the system when they are freed.
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")
        os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**18))
    else:
        import_tensorflow()
        gan_core.run.make_virtual_devices(4)


def pytest_collection_modifyitems(config, items):
    """Leaves out the cases of the full size, unless GAN_CORE_FULL=1 asks for them."""
    full = [item for item in items if not IS_FULL and item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


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
def float64():
    """Sets Keras, and with it the engine, to float64."""
    import keras

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def forget_networks():
    """Frees the networks of a test; for modules whose tests train large networks."""
    yield
    _free_memory()


@pytest.fixture(scope="module", autouse=True)
def forget_networks_of_the_module():
    """Frees the networks of a module's tests."""
    yield
    _free_memory()


def _free_memory():
    """Collects reference cycles of networks, and graphs that TensorFlow would keep for ever.

    Each update of a Keras optimizer makes a graph with a custom gradient, whose function is
    registered under a unique name and never removed.
    """
    import keras
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
    keras.backend.clear_session()
    gc.collect()


@pytest.fixture(scope="session")
def real_data_dir():
    """A TFDS directory with real images; tests that need one are skipped, visibly, without."""
    path = os.environ.get("GAN_CORE_DATA_DIR")
    if not path:
        pytest.skip("real images: GAN_CORE_DATA_DIR is not set")
    return path
