"""TensorFlow imported without its start-up notices."""

import os
import tempfile

from absl import logging


def import_tensorflow_quietly() -> None:
    """Keeps TensorFlow's start-up notices (CUDA, oneDNN) off the screen, and libraries' warnings.

    They come from C++, some of them before any log level is read, so the file descriptor itself
    is turned aside during the import. TF_CPP_MIN_LOG_LEVEL=0 in the environment brings all back.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            logging.set_verbosity(logging.ERROR)
        except BaseException:
            notices.seek(0)
            os.write(standard_error, notices.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
