"""Experiments: each module is one program, `python -m experiments.<name> --help`."""

import os
import platform
import sys

# This must be set before TensorFlow is imported. By default it uses oneDNN's kernels only on CPUs
# with AVX-512 VNNI; with TensorFlow's own, a step of convolutions takes 1.4 to 2 times as long (one
# of dense layers alone 0.9 times).
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_TOOLS = ("benchmark", "crash_test", "search", "time_to_quality")
_EXAMPLES = ("conditional_mnist", "custom_loop", "cyclegan_digits", "r3gan_svhn", "wgan_gp_svhn")
_MOVED = {
    "evaluate": "tools.compare_folders",
    **{name: f"tools.{name}" for name in _TOOLS},
    **{name: f"examples.{name}" for name in _EXAMPLES},
}
"""New names of programs that were modules of this package."""

# `python -m experiments.<name>` imports this package first, and would only say "No module named".
_module = dict(zip(sys.orig_argv, sys.orig_argv[1:], strict=False)).get("-m", "")
_name = _module.removeprefix("experiments.")
if _module.startswith("experiments.") and _name in _MOVED:
    _words = f"`{_module}` has moved; use python -m experiments.{_MOVED[_name]}"
    print(f"error: {_words}", file=sys.stderr)
    sys.exit(2)
