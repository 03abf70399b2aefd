"""Precision of the networks: a Keras dtype policy by name, or the fastest safe one."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from gan_core.choices import PRECISIONS
from gan_core.errors import check_known

_BFLOAT16_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_FIRST_BFLOAT16_COMPUTE_CAPABILITY = (8, 0)


def choose_precision(name: str = "auto") -> tuple[str, str]:
    """The Keras dtype policy for `name`, and the reason for it.

    Args:
      name: The policy `float32`, `mixed_bfloat16` or `mixed_float16`; or `auto` for
        `mixed_bfloat16` if all GPUs, or without a GPU the CPU, support bfloat16 in hardware, and
        otherwise `float32`, as emulation is many times slower.

    Returns:
      The name of the policy and the reason in words.

    Raises:
      ArgumentError: If there is no such precision.
    """
    check_known("precision", name, PRECISIONS)
    if name != "auto":
        return name, "as requested"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capable = all(map(_gpu_computes_in_bfloat16, gpus))
        hardware = "the GPU"
    else:
        capable = bool(_BFLOAT16_CPU_FLAGS & _cpu_flags())
        hardware = "the CPU"
    if capable:
        return "mixed_bfloat16", f"chosen because {hardware} computes in bfloat16"
    return "float32", f"chosen because {hardware} does not compute in bfloat16"


def _gpu_computes_in_bfloat16(gpu: tf.config.PhysicalDevice) -> bool:
    details = tf.config.experimental.get_device_details(gpu)
    capability: tuple[int, int] = details.get("compute_capability", (0, 0))
    return capability >= _FIRST_BFLOAT16_COMPUTE_CAPABILITY


def _cpu_flags() -> set[str]:
    """The CPU's instruction sets by their Linux names; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()
