"""Games that flags cannot express, one per module: `python -m experiments.examples.<name>`."""

from experiments.program.process import import_tensorflow

import_tensorflow()  # quietly, before an example imports it
