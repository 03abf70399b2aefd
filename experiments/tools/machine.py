"""The machine and library versions, for records of measurements."""

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
        f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"{', '.join(versions)}"
    )


def _processor() -> str:
    """The processor's name; on Linux with its instructions for bfloat16."""
    facts: dict[str, str] = {}
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            pairs = (line.partition(":") for line in lines)
            facts = {name.strip(): value.strip() for name, _, value in pairs}
    name = facts.get("model name") or platform.processor() or platform.machine()
    found = facts.get("flags", "").split()
    fast = {"amx_bf16": "AMX BF16", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512"}
    words = next((words for flag, words in fast.items() if flag in found), "")
    return f"{name} ({words})" if words else name
