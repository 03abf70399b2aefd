"""A name for content: equal for equal content, and for no other."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

_BYTES = 2**26


def content_hash(*parts: Any) -> str:
    """SHA-256, in hexadecimal digits, of arrays (type, shape, values) and of JSON values.

    What has a type, a shape and rows counts as an array, whoever reads its rows.
    """
    digest = hashlib.sha256()
    for part in parts:
        is_array = hasattr(part, "dtype") and hasattr(part, "shape")
        facts = [str(part.dtype), list(part.shape)] if is_array else part
        digest.update(json.dumps([is_array, facts], sort_keys=True).encode() + b"\n")
        if is_array and math.prod(part.shape):
            rows = max(1, _BYTES // max(1, part[:1].nbytes))
            for start in range(0, len(part), rows):
                digest.update(np.ascontiguousarray(part[start : start + rows]).data)
    return digest.hexdigest()
