"""Feature extractors from files: Keras models, SavedModels, the Inception graph of 2015."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import AnySize, Extracted, Extractor
from gan_core.files import checksum, content_hash
from gan_core.images import ValueRange, from_uint8


def model_file(
    path: Path | str, *, value_range: ValueRange, layer: str | None = None, batch_size: int = 100
) -> Extractor:
    """An extractor whose features are the outputs of a custom network.

    Keras files are loaded in safe mode: files that contain Python code are refused. SavedModels
    are called by their signature `serving_default`.

    Args:
      path: A `.keras` file, or the directory of a SavedModel; with one input of images
        [B, H, W, C].
      value_range: Inputs of the network for pixels 0 and 255: (-1, 1), (0, 1) or (0, 255).
      layer: Layer of a Keras file whose output is taken; the network's output when None.
      batch_size: Images per batch.

    Returns:
      An extractor of that output, flattened except for the first axis.

    Raises:
      ArgumentError: If the file cannot be loaded, has no such layer, or does not have a single
        input of images.
    """
    path = Path(path).expanduser()
    load = _load_saved_model if path.is_dir() else _load_keras
    try:
        run, image_shape = load(path, layer)
    except ArgumentError:
        raise
    except Exception as error:
        # Loading involves many libraries, each with its own errors.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _wrong(path, f"cannot be loaded: {reason}") from error

    @tf.function(reduce_retracing=True)
    def extract(images: tf.Tensor) -> tf.Tensor:
        outputs = run(from_uint8(images, value_range))
        return tf.cast(tf.reshape(outputs, [tf.shape(images)[0], -1]), tf.float32)

    return Extractor(
        name=path.stem,
        content_hash=content_hash(_checksums(path), list(value_range), layer),
        image_shape=image_shape,
        extract_batch=lambda images: Extracted(extract(tf.constant(images)).numpy()),
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
        raise _wrong(path, "does not have one input and one output")
    shape = _image_shape(path, network.inputs[0].shape)
    return lambda images: network(images, training=False), shape


def _load_saved_model(path: Path, layer: str | None) -> tuple[Run, AnySize]:
    if layer is not None:
        raise ArgumentError("layer", layer, "must be None for a SavedModel", "save a Keras file")
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1 or len(signature.structured_outputs) != 1:
        raise _wrong(path, "does not have one input and one output")
    (input_name, spec), (output_name,) = next(iter(inputs.items())), signature.structured_outputs

    def run(images: tf.Tensor, owner: object = loaded) -> tf.Tensor:
        del owner  # The variables live as long as the loaded object.
        return signature(**{input_name: tf.cast(images, spec.dtype)})[output_name]

    return run, _image_shape(path, tuple(spec.shape))


def _image_shape(path: Path, shape: tuple[int | None, ...]) -> AnySize:
    if len(shape) != 4 or shape[-1] not in (1, 3):
        raise _wrong(path, f"takes {list(shape)}, not images [B, H, W, C] with C of 1 or 3")
    return shape[1], shape[2], int(shape[3] or 0)


def _checksums(path: Path) -> list[list[str]]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [[str(file.relative_to(path)), checksum(file)] for file in files]


def _wrong(path: Path, what: str) -> ArgumentError:
    return ArgumentError(
        "path", path, f"must be a .keras file or a SavedModel of images, but it {what}", "check it"
    )


FILE_NAME = "classify_image_graph_def.pb"
NUM_FEATURES = 2048
NAME = "inception_2015_12_05"
_IMAGES, _FEATURES = "ExpandDims:0", "pool_3:0"
_WHERE = (
    f"get inception-2015-12-05.tgz from download.tensorflow.org/models/image/imagenet, unpack it "
    f"and give the path of its {FILE_NAME}"
)


def inception_2015(path: Path | str) -> Extractor:
    """The frozen Inception graph of 2015-12-05 of Heusel et al. 2017: 2,048 features ("pool_3").

    Its inputs are pixels from 0 to 255 at any size; the graph itself scales them, and resizes them
    to 299x299 by the bilinear interpolation that TensorFlow had then. Values from other weights or
    another resizing are not comparable (Parmar et al. 2022).

    Nothing is downloaded. The extractor's hash is the checksum of the file.

    Args:
      path: The file `classify_image_graph_def.pb`.

    Returns:
      An extractor for images of any size; grey images become RGB.

    Raises:
      ArgumentError: If the file is missing, damaged or another one.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ArgumentError("inception", path, f"must be the file {FILE_NAME}", _WHERE)
    run = _function_of(path)

    def extract(images: np.ndarray) -> Extracted:
        try:
            features = run(tf.constant(images, tf.float32)).numpy()
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0]
            raise _wrong_graph(path, f"cannot be run: {reason}") from error
        return Extracted(features.reshape(len(images), -1).astype(np.float32))

    # A first batch, so that a wrong file is reported at once.
    found = extract(np.zeros((2, 32, 32, 3), np.uint8)).features.shape
    if found != (2, NUM_FEATURES):
        raise _wrong_graph(path, f"gives {found[1]} features, not {NUM_FEATURES}")
    return Extractor(
        name=NAME,
        content_hash=checksum(path),
        image_shape=(None, None, 3),
        extract_batch=extract,
        resizing="enlarged to 299x299 by the graph",
        batch_size=50,
    )


def _function_of(path: Path) -> tf.types.experimental.ConcreteFunction:
    """Float32 [B, H, W, 3] of 0 to 255 -> [B, 1, 1, 2048]."""
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:
        # The error of protocol buffers is in one of several modules.
        raise _wrong_graph(path, "is not a TensorFlow graph") from error
    names = {f"{node.name}:0" for node in graph.node}
    if missing := [name for name in (_IMAGES, _FEATURES) if name not in names]:
        raise _wrong_graph(path, f"has no tensor {' or '.join(missing)}")
    for node in graph.node:
        # These shapes are for one picture at a time.
        node.attr.pop("_output_shapes", None)

    def build(images: tf.Tensor) -> tf.Tensor:
        return tf.graph_util.import_graph_def(graph, {_IMAGES: images}, [_FEATURES])[0]

    signature = [tf.TensorSpec([None, None, None, 3], tf.float32)]
    try:
        return tf.compat.v1.wrap_function(build, signature)
    except (ValueError, tf.errors.OpError) as error:
        raise _wrong_graph(path, f"cannot be read: {str(error).splitlines()[0]}") from error


def _wrong_graph(path: Path, what: str) -> ArgumentError:
    return ArgumentError(
        "inception", path, f"must be the file {FILE_NAME} of 2015-12-05, but it {what}", _WHERE
    )
