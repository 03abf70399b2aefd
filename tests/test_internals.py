"""The private names of libraries that `gan_core.internals` uses exist and mean what they did."""

import importlib.metadata

import keras
import numpy as np
import tensorflow as tf

from gan_core import internals

ABOUT = ", ".join(
    f"{name} {importlib.metadata.version(name)}"
    for name in ("keras", "tensorflow", "tensorboard", "numpy")
)


def test_layers_at_any_depth():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(1)])
    inside = list(internals.all_layers(model, include_self=False))
    assert {id(layer) for layer in (*inner.layers, model.layers[-1])} <= set(map(id, inside)), ABOUT
    assert any(layer is model for layer in internals.all_layers(model)), ABOUT
    assert not any(layer is model for layer in inside), ABOUT


def test_keras_layers_that_a_module_holds():
    module = tf.Module()
    module.parts = [keras.layers.Dense(2), tf.Module()]
    assert internals.keras_layers_of_module(module) == [module.parts[0]], ABOUT
    assert internals.keras_layers_of_module(tf.Module()) == [], ABOUT


def test_the_state_of_a_seed_generator_has_its_name():
    dropout = keras.layers.Dropout(0.5)
    dropout.build((None, 2))
    names = [variable.name for variable in dropout.non_trainable_variables]
    assert names == [internals.SEED_STATE], ABOUT


def test_slices_of_a_memory_map_are_maps_too(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(6, dtype=np.uint8))
    array = np.load(tmp_path / "array.npy", mmap_mode="r")
    assert len(vars(array)["_mmap"]) == (tmp_path / "array.npy").stat().st_size, ABOUT
    mapped = np.arange(6, dtype=np.uint8).view(np.memmap)
    assert not hasattr(mapped[1:], "_mmap") or mapped[1:]._mmap is None, ABOUT
    mapping = vars(array)["_mmap"]
    internals.set_memory_map_of(mapped, mapping)
    assert mapped[1:]._mmap is mapping, ABOUT


def test_event_files_are_those_that_tensorflow_reads(tmp_path):
    values = [
        *internals.scalar_values({"loss": 0.5}),
        *internals.text_values("settings", "| a |"),
        *internals.image_values("samples", b"png", 2, 3),
    ]
    events = [internals.version_event(1.0), internals.event(2.0, 7, values)]
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(internals.event_file_bytes(events))
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == events, ABOUT
    assert internals.parse_event(events[0]) == (0, set()), ABOUT
    assert internals.parse_event(events[1]) == (7, {"scalars", "text", "images"}), ABOUT
    first, second = tf.compat.v1.train.summary_iterator(str(path))
    assert first.file_version == "brain.Event:2", ABOUT
    loss, text, image = second.summary.value
    assert float(tf.make_ndarray(loss.tensor)) == 0.5, ABOUT
    assert tf.make_ndarray(text.tensor).item() == b"| a |", ABOUT
    assert tf.make_ndarray(image.tensor).tolist() == [b"3", b"2", b"png"], ABOUT


def test_the_moments_of_adam():
    variable = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    optimizer.apply([tf.constant([1.0, 10.0])], [variable])
    first, second = internals.adam_moments(optimizer, variable.value)
    np.testing.assert_allclose(first, [0.1, 1.0], rtol=1e-6, err_msg=ABOUT)
    np.testing.assert_allclose(second, [0.001, 0.1], rtol=1e-6, err_msg=ABOUT)


def test_keras_optimizers_have_the_hooks_that_sums_of_gradients_need():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    hooks = ("_clip_gradients", "_all_reduce_sum_gradients", "_backend_apply_gradients")
    used = ("_accumulated_gradients", "_get_variable_index", "_use_weight_decay", "_iterations")
    for name in (*hooks, *used, "_distribution_strategy"):
        assert hasattr(optimizer, name), f"{name}: {ABOUT}"
    for name in hooks:
        own = getattr(internals.SummedGradients, name)
        assert own is not getattr(keras.optimizers.Optimizer, name), f"{name}: {ABOUT}"
    assert optimizer._get_variable_index(variable.value) == 0, ABOUT
    assert hasattr(tf.__internal__.distribute.interim, "maybe_merge_call"), ABOUT
