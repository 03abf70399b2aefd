"""Proof that faults lose nothing: `python -m experiments.crash_test`."""

from experiments.quiet_startup import import_tensorflow_quietly

import_tensorflow_quietly()
