"""The machine and the versions that figures belong to."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform


def describe_machine() -> str:
    """Processor, cores and versions, in a line."""
    libraries = {"TensorFlow": "tensorflow", "Keras": "keras", "PyTorch": "torch"}
    versions = [
        f"{title} {importlib.metadata.version(name)}"
        for title, name in libraries.items()
        if importlib.util.find_spec(name)
    ]
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python "
        f"{platform.python_version()}, {', '.join(versions)}"
    )
