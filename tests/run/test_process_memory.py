import numpy as np

import gan_core


def test_memory_is_that_of_this_process():
    before = gan_core.run.resident_gib()
    block = np.ones(2**26)
    assert 0.45 < gan_core.run.resident_gib() - before < 0.55
    del block
    assert gan_core.run.resident_gib() - before < 0.05
    assert gan_core.run.peak_resident_gib() - before > 0.45
