"""Proof that faults lose nothing: `python -m experiments.tools.crash_test`."""

from experiments.program.process import import_tensorflow

import_tensorflow()
