"""The engine's step against what a user would write instead: `python -m experiments.benchmark`."""

from experiments.quiet_startup import import_tensorflow_quietly

import_tensorflow_quietly()
