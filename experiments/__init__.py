"""Experiments: each module is one program, `python -m experiments.<name> --help`."""
