"""Games that the flags cannot state, one a module: `python -m experiments.examples.<name>`."""
