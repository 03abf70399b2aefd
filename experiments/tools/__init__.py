"""Programs beside the experiments: `python -m experiments.tools.<name> --help`."""
