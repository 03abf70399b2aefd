import pytest
import tensorflow as tf

import gan_core
from gan_core.errors import ArgumentError


def test_strategies_by_name():
    strategy = gan_core.make_strategy("one_device")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert gan_core.run.describe_strategy(strategy) == "OneDeviceStrategy, 1 replica on CPU:0"


@pytest.mark.parametrize("name", ["tpu", "TPUStrategy", "parameter_server"])
def test_refuses_by_name_what_it_cannot_do(name):
    words = r"is not supported: the updates need .*; use one of auto, one_device, mirrored, multi_w"
    with pytest.raises(ArgumentError, match=rf"`strategy` \({name}\) {words}"):
        gan_core.make_strategy(name)


def test_refuses_an_unknown_strategy():
    with pytest.raises(
        ArgumentError, match=r"`strategy` \(horovod\) must be a known strategy; use"
    ):
        gan_core.make_strategy("horovod")


@pytest.mark.parametrize("config", [None, "{}", "no json", '{"cluster": {}}'])
def test_multi_worker_needs_a_list_of_processes(config, monkeypatch):
    if config is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ArgumentError, match=r"must find its processes in .* TF_CONFIG; set it to "):
        gan_core.make_strategy("multi_worker")


def test_a_task_that_is_not_in_the_list_is_named(monkeypatch):
    config = '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": "x"}}'
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ArgumentError, match=r"`TF_CONFIG` \(.*\) cannot be used: .*; give "):
        gan_core.make_strategy("multi_worker")


def test_one_process_is_the_chief_and_alone(one_device, mirrored):
    for strategy in (one_device, mirrored):
        assert gan_core.run.is_chief(strategy)
        assert gan_core.run.sum_over_workers(strategy, [3, 0]) == ([3, 0], 1)


def test_virtual_devices_stay_as_they_were_first_made():
    gan_core.run.make_virtual_devices(4)
    with pytest.raises(ArgumentError, match=r"`virtual_devices` \(3\) must be set before"):
        gan_core.run.make_virtual_devices(3)


def test_batch_is_shared_out_evenly(mirrored):
    assert gan_core.run.per_replica_batch_size(8, mirrored) == 4
    for batch in (0, 7, -8):
        with pytest.raises(
            ArgumentError, match=rf"`global_batch_size` \({batch}\) must be a posit"
        ):
            gan_core.run.per_replica_batch_size(batch, mirrored)
