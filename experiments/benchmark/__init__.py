"""The engine's step against what a user would write instead: `python -m experiments.benchmark`."""
