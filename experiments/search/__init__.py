"""Settings found by trying them: `python -m experiments.search`."""
