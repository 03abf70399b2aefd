"""A step of the engine timed against what a user would write instead."""

from experiments.program.process import import_tensorflow

import_tensorflow()
