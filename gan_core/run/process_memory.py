"""The memory that this process holds, and has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_gib() -> float:
    """Memory of this process in GiB: what it holds now on Linux, its peak elsewhere."""
    return _kernels_figure("VmRSS") or peak_resident_gib()


def peak_resident_gib() -> float:
    """The most memory that this process has held so far, in GiB."""
    # On Linux `getrusage` counts what the process that started this one held.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _kernels_figure("VmHWM") or peak / (2**30 if sys.platform == "darwin" else 2**20)


def _kernels_figure(name: str) -> float | None:
    """A figure that Linux keeps of this process, in GiB; None elsewhere."""
    if not _STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[name].split()[0]) / 2**20 if name in lines else None
