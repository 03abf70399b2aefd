"""Features of any Keras file or SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from gan_core.content_hash import content_hash
from gan_core.durable_files import checksum
from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import AnySize, Description, Extractor
from gan_core.images import ValueRange, from_uint8


def model_file(
    path: Path | str, *, value_range: ValueRange, layer: str | None = None, batch_size: int = 100
) -> Extractor:
    """The outputs of a network of your own as features.

    Keras files are loaded in safe mode: those with Python code in them are refused. Of a
    SavedModel the signature `serving_default` is called.

    Args:
      path: A `.keras` file, or the directory of a SavedModel; with one input of images
        [B, H, W, C].
      value_range: What levels 0 and 255 are to the network: (-1, 1), (0, 1), (0, 255).
      layer: Whose output it is, of a Keras file; the network's own when None.
      batch_size: Images at once.

    Returns:
      An extractor whose features are that output, all axes but the first as one.

    Raises:
      ArgumentError: If it cannot be loaded, has no such layer, or no single input of images.
    """
    path = Path(path).expanduser()
    load = _load_saved_model if path.is_dir() else _load_keras
    try:
        run, image_shape = load(path, layer)
    except ArgumentError:
        raise
    except Exception as error:
        # Loading runs through many libraries, each with its own errors.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _wrong(path, f"cannot be loaded: {reason}") from error

    @tf.function(reduce_retracing=True)
    def describe(images: tf.Tensor) -> tf.Tensor:
        outputs = run(from_uint8(images, value_range))
        return tf.cast(tf.reshape(outputs, [tf.shape(images)[0], -1]), tf.float32)

    return Extractor(
        name=path.stem,
        content_hash=content_hash(_checksums(path), list(value_range), layer),
        image_shape=image_shape,
        describe_batch=lambda images: Description(describe(tf.constant(images)).numpy()),
        batch_size=batch_size,
    )


Run = Callable[[tf.Tensor], tf.Tensor]


def _load_keras(path: Path, layer: str | None) -> tuple[Run, AnySize]:
    network = keras.saving.load_model(path, compile=False, safe_mode=True)
    if layer is not None:
        names = [each.name for each in network.layers]
        if layer not in names:
            raise ArgumentError(
                "layer", layer, "must be a layer of the network", f"use one of {', '.join(names)}"
            )
        network = keras.Model(network.inputs, network.get_layer(layer).output)
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise _wrong(path, "has not one input and one output")
    shape = _image_shape(path, network.inputs[0].shape)
    return lambda images: network(images, training=False), shape


def _load_saved_model(path: Path, layer: str | None) -> tuple[Run, AnySize]:
    if layer is not None:
        raise ArgumentError("layer", layer, "must be None for a SavedModel", "save a Keras file")
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1 or len(signature.structured_outputs) != 1:
        raise _wrong(path, "has not one input and one output")
    (input_name, spec), (output_name,) = next(iter(inputs.items())), signature.structured_outputs

    def run(images: tf.Tensor, owner: object = loaded) -> tf.Tensor:
        del owner  # The variables live as long as what was loaded.
        return signature(**{input_name: tf.cast(images, spec.dtype)})[output_name]

    return run, _image_shape(path, tuple(spec.shape))


def _image_shape(path: Path, shape: tuple[int | None, ...]) -> AnySize:
    if len(shape) != 4 or shape[-1] not in (1, 3):
        raise _wrong(path, f"takes {list(shape)}, no images [B, H, W, C] with C of 1 or 3")
    return shape[1], shape[2], int(shape[3] or 0)


def _checksums(path: Path) -> list[list[str]]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [[str(file.relative_to(path)), checksum(file)] for file in files]


def _wrong(path: Path, what: str) -> ArgumentError:
    return ArgumentError(
        "path", path, f"must be a .keras file or a SavedModel of images, but it {what}", "check it"
    )
