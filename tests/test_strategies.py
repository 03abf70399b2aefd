import json

import pytest
import tensorflow as tf

import gan_core
import gan_core.strategies
from gan_core.errors import ArgumentError


def test_strategies_by_name():
    strategy = gan_core.make_strategy("one_device")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert gan_core.run.describe_strategy(strategy) == "OneDeviceStrategy, 1 replica on CPU:0"


@pytest.mark.parametrize("name", ["tpu", "TPUStrategy", "parameter_server"])
def test_refuses_by_name_what_it_cannot_do(name):
    words = r"is not supported: updates need .*; use one of auto, one_device, mirrored, multi_w"
    with pytest.raises(ArgumentError, match=rf"`strategy` \({name}\) {words}"):
        gan_core.make_strategy(name)


def test_refuses_an_unknown_strategy():
    with pytest.raises(ArgumentError, match=r"`strategy` \(horovod\) is not recognised; use"):
        gan_core.make_strategy("horovod")


def test_multi_worker_needs_a_list_of_processes(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        ArgumentError, match=r"needs the environment variable TF_CONFIG, .*; set it to "
    ):
        gan_core.make_strategy("multi_worker")


def tf_config(workers=("localhost:1", "localhost:2"), kind="worker", index=0):
    cluster, task = {"worker": list(workers)}, {"type": kind, "index": index}
    return json.dumps({"cluster": cluster, "task": task})


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        *((text, "must name the cluster's workers and this task") for text in (
            "{}", "no json", "[]", "5", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}}',
            '{"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}}', "[" * 100_000,
        )),
        (tf_config(kind="evaluator"), "must name the cluster's workers and this task"),
        (tf_config(workers=[]), "must list at least one worker"),
        (tf_config().replace('["localhost:1", "localhost:2"]', '"localhost"'), "must list"),
        (tf_config(workers=["localhost"]), "must list addresses as host:port"),
        (tf_config(workers=["localhost:port"]), "must list addresses as host:port"),
        (tf_config(workers=["localhost:70000"]), "must list addresses as host:port"),
        (tf_config(workers=["localhost:0"]), "must list addresses as host:port"),
        (tf_config(workers=[5]), "must list addresses as host:port"),
        (tf_config(workers=["a:1", "a:1"]), "must list each address once"),
        *((tf_config(index=index), "must give this task an index from 0 to 1") for index in (
            -1, 2, "x", None, 1.5, True, [0],
        )),
    ],
)  # fmt: skip
def test_a_cluster_that_cannot_be_meant_is_refused_before_anybody_waits(config, rule, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ArgumentError, match=rf"`TF_CONFIG` \(.*\) {rule}.*; set it to "):
        gan_core.make_strategy("multi_worker")


def test_one_process_is_the_chief_and_alone(one_device, mirrored):
    for strategy in (one_device, mirrored):
        assert gan_core.strategies.is_chief(strategy)
        assert gan_core.strategies.sum_over_workers(strategy, [3, 0]) == ([3, 0], 1)


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
