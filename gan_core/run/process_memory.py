"""The memory that this process holds, and has held."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


def resident_gib() -> float:
    """Memory that this process holds now, in GiB."""
    return float(psutil.Process().memory_info().rss) / 2**30


def peak_resident_gib() -> float:
    """The most memory that this process has held so far, in GiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**30
    if _STATUS.exists():
        # On Linux `getrusage` counts what the process that started this one held.
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**20
    import resource  # of Unix alone

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # in bytes on macOS
