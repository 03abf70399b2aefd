import pytest
import tensorflow as tf

import gan_core
from gan_core.errors import ArgumentError


def test_strategies_by_name():
    strategy = gan_core.make_strategy("one_device")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert gan_core.describe_strategy(strategy) == "OneDeviceStrategy, 1 replica on CPU:0"


def test_refuses_an_unknown_strategy():
    with pytest.raises(
        ArgumentError, match=r"`strategy` \(tpu\) .* use one of auto, one_device, m"
    ):
        gan_core.make_strategy("tpu")


def test_virtual_devices_stay_as_they_were_first_made():
    gan_core.make_virtual_devices(4)
    with pytest.raises(ArgumentError, match=r"`virtual_devices` \(3\) must be set before"):
        gan_core.make_virtual_devices(3)


def test_batch_is_shared_out_evenly(mirrored):
    assert gan_core.per_replica_batch_size(8, mirrored) == 4
    for batch in (0, 7, -8):
        with pytest.raises(
            ArgumentError, match=rf"`global_batch_size` \({batch}\) must be a posit"
        ):
            gan_core.per_replica_batch_size(batch, mirrored)
