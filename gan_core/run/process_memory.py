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
    status = _STATUS.read_text() if _STATUS.exists() else ""
    lines = dict(line.split(":", 1) for line in status.splitlines())
    if "VmHWM" in lines:  # `getrusage` counts what the process that started this one held
        return int(lines["VmHWM"].split()[0]) / 2**20
    import resource  # of Unix alone

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
