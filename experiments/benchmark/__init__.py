"""The engine's step against what a user would write instead: `python -m experiments.benchmark`."""

from experiments.tensorflow_import import import_tensorflow

import_tensorflow()
