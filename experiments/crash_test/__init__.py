"""Proof that faults lose nothing: `python -m experiments.crash_test`."""

from experiments.tensorflow_import import import_tensorflow

import_tensorflow()
