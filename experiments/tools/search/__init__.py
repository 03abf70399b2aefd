"""Settings found by trying them: `python -m experiments.tools.search`."""
