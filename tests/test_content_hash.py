"""Equal content has one name, other content another."""

import numpy as np

from gan_core import content_hash as module
from gan_core.content_hash import content_hash


def test_it_depends_on_values_types_and_shapes_only(monkeypatch):
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    kept = content_hash(array, {"seed": 1, "k": 5})
    assert kept == content_hash(array.T.copy().T, {"k": 5, "seed": 1})
    others = [array.reshape(6, 4), array.astype(np.int8), array + 1]
    hashes = {content_hash(other, {"seed": 1, "k": 5}) for other in others}
    hashes |= {content_hash(array, {"seed": 2, "k": 5}), content_hash(array)}
    assert len(hashes - {kept}) == 5
    monkeypatch.setattr(module, "_BYTES", 7)
    assert content_hash(array, {"seed": 1, "k": 5}) == kept
