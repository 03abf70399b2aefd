"""The Inception network by which FID is defined, from the file that it is published in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from gan_core.durable_files import checksum
from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import Description, Extractor

FILE_NAME = "classify_image_graph_def.pb"
NUM_FEATURES = 2048
NAME = "inception_2015_12_05"
_IMAGES, _FEATURES = "ExpandDims:0", "pool_3:0"
_WHERE = (
    f"get inception-2015-12-05.tgz from download.tensorflow.org/models/image/imagenet, unpack it "
    f"and give the path of its {FILE_NAME}"
)


def inception_2015(path: Path | str) -> Extractor:
    """The frozen graph of 2015-12-05, as Heusel et al. 2017 use it: 2,048 features ("pool_3").

    Pictures go in with levels of 0 to 255 at their own size; the graph itself enlarges them to
    299x299 by TensorFlow's bilinear interpolation of that time, and scales them. Values by other
    weights or another way to resize are not comparable with it (Parmar et al. 2022).

    Nothing is downloaded. The file's checksum is the extractor's hash.

    Args:
      path: The file `classify_image_graph_def.pb`.

    Returns:
      An extractor for images of any size; grey ones count as RGB.

    Raises:
      ArgumentError: If there is no such file, or it is damaged or another one.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ArgumentError("inception", path, f"must be the file {FILE_NAME}", _WHERE)
    run = _function_of(path)

    def describe(images: np.ndarray) -> Description:
        try:
            features = run(tf.constant(images, tf.float32)).numpy()
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0]
            raise _wrong(path, f"cannot be run: {reason}") from error
        return Description(features.reshape(len(images), -1).astype(np.float32))

    # A first picture, so that a wrong file is told before anything waits for it.
    found = describe(np.zeros((2, 32, 32, 3), np.uint8)).features.shape
    if found != (2, NUM_FEATURES):
        raise _wrong(path, f"gives {found[1]} features, not {NUM_FEATURES}")
    return Extractor(
        name=NAME,
        content_hash=checksum(path),
        image_shape=(None, None, 3),
        describe_batch=describe,
        resizing="enlarged to 299x299 by the graph",
        batch_size=50,
    )


def _function_of(path: Path) -> tf.types.experimental.ConcreteFunction:
    """Float32 [B, H, W, 3] of 0 to 255 -> [B, 1, 1, 2048]."""
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:
        # Protocol buffers have an error of their own, in one of several modules.
        raise _wrong(path, "is no graph of TensorFlow") from error
    names = {f"{node.name}:0" for node in graph.node}
    if missing := [name for name in (_IMAGES, _FEATURES) if name not in names]:
        raise _wrong(path, f"has no tensor {' or '.join(missing)}")
    for node in graph.node:
        # Shapes as they were with one picture at a time.
        node.attr.pop("_output_shapes", None)

    def build(images: tf.Tensor) -> tf.Tensor:
        return tf.graph_util.import_graph_def(graph, {_IMAGES: images}, [_FEATURES])[0]

    signature = [tf.TensorSpec([None, None, None, 3], tf.float32)]
    try:
        return tf.compat.v1.wrap_function(build, signature)
    except (ValueError, tf.errors.OpError) as error:
        raise _wrong(path, f"cannot be read: {str(error).splitlines()[0]}") from error


def _wrong(path: Path, what: str) -> ArgumentError:
    return ArgumentError(
        "inception", path, f"must be the file {FILE_NAME} of 2015-12-05, but it {what}", _WHERE
    )
