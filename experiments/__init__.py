"""Experiments: each module is one program, `python -m experiments.<name> --help`."""

import os
import platform
import sys

# Before any of them imports TensorFlow, which by itself takes oneDNN's kernels only where there is
# AVX-512 VNNI; with those of its own a step of convolutions takes 1.4 to 2 times as long (one of
# dense layers alone 0.9 times).
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_MOVED = {
    **dict.fromkeys(("benchmark", "crash_test", "search", "time_to_quality"), "tools"),
    **dict.fromkeys(("conditional_mnist", "custom_loop", "cyclegan_digits"), "examples"),
    **dict.fromkeys(("r3gan_svhn", "wgan_gp_svhn"), "examples"),
}
"""Programs that stood here once, and the package that holds them now."""

# `python -m experiments.<name>` imports this package first, and would only say "No module named".
_name = next((word for word in sys.orig_argv if word.startswith("experiments.")), "")[12:]
if "-m" in sys.orig_argv[:4] and (_name in _MOVED or _name == "evaluate"):
    _new = f"{_MOVED[_name]}.{_name}" if _name in _MOVED else "tools.compare_folders"
    print(
        f"error: `experiments.{_name}` has moved; use python -m experiments.{_new}", file=sys.stderr
    )
    sys.exit(2)
