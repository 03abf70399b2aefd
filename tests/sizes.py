"""The sizes of long tests: a sample by default, all cases with GAN_CORE_FULL=1 (see BUILD.md)."""

import os

import pytest

IS_FULL = os.environ.get("GAN_CORE_FULL") == "1"


def size(sample, full):
    """The number of repetitions of a test that is long by nature."""
    return full if IS_FULL else sample


def sampled(cases, sample):
    """Parameters of a test; those that are not in the sample run in full size only."""
    return [case if case in sample else _in_full_size(case) for case in cases]


def _in_full_size(case):
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.full)
