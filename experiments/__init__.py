"""Experiments: each module is one program, `python -m experiments.<name> --help`."""

from experiments.quiet_startup import import_tensorflow_quietly

import_tensorflow_quietly()
