import numpy as np

import gan_core


def test_memory_is_that_of_this_process():
    before = gan_core.run.resident_gib()
    block = np.ones(2**27)
    assert 0.9 < gan_core.run.resident_gib() - before < 1.1
    del block
    assert gan_core.run.resident_gib() - before < 0.1
    assert gan_core.run.peak_resident_gib() - before > 0.9
