"""Experiments: each module is one program, `python -m experiments.<name> --help`."""

import os
import platform

# Before any of them imports TensorFlow, which by itself takes oneDNN's kernels only where there is
# AVX-512 VNNI; with those of its own a step of convolutions takes 1.4 to 2 times as long (one of
# dense layers alone 0.9 times).
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
