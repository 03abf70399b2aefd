"""Distribution strategies by name, and functions that run on every replica."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from gan_core.choices import STRATEGIES
from gan_core.errors import ArgumentError
from gan_core.types import Metrics

_TF_CONFIG = (
    'set it to {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": n}} '
    "with this process's place in the list"
)
_NOT_SUPPORTED = ("tpu", "parameter_server", "central_storage")


def make_virtual_devices(num_devices: int) -> None:
    """Splits the CPU into logical devices, to try distribution without GPUs.

    Call it before TensorFlow's first operation in the process.

    Raises:
      ArgumentError: If TensorFlow has already initialised another number of devices.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != num_devices:
            raise ArgumentError(
                "virtual_devices",
                num_devices,
                "must be set before TensorFlow's first operation",
                "call make_virtual_devices() first in a new process",
            ) from error


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy called `name`, over the logical devices of this process.

    Make one per process: a second MirroredStrategy on the same devices can abort TensorFlow.

    Args:
      name: `one_device`: the first GPU, or the CPU. `mirrored`: data parallel over all GPUs, or
        over all logical CPUs where there is no GPU. `auto`: `mirrored` where there is more than
        one such device, `one_device` otherwise. `multi_worker`: data parallel over the GPUs, or
        the CPU, of each of the processes that the environment variable TF_CONFIG lists; it waits
        for all of them.

    Raises:
      ArgumentError: If the name is not recognised, or TF_CONFIG is not valid for `multi_worker`.
    """
    if name.lower().removesuffix("strategy") in _NOT_SUPPORTED:
        raise ArgumentError(
            "strategy",
            name,
            "is not supported: updates need synchronous replicas, each with all variables",
            f"use one of {', '.join(STRATEGIES)}",
        )
    if name not in STRATEGIES:
        raise ArgumentError(
            "strategy", name, "is not recognised", f"use one of {', '.join(STRATEGIES)}"
        )
    if name == "multi_worker":
        return _make_multi_worker()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    if name == "mirrored" or (name == "auto" and len(names) > 1):
        return tf.distribute.MirroredStrategy(names)
    return tf.distribute.OneDeviceStrategy(names[0])


def _make_multi_worker() -> tf.distribute.Strategy:
    read_cluster()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except ValueError as error:
        text = os.environ["TF_CONFIG"]
        raise ArgumentError("TF_CONFIG", text, f"cannot be used: {error}", _TF_CONFIG) from error


def read_cluster() -> dict[str, Any]:
    """The contents of TF_CONFIG: `cluster`, addresses by job, and `task`, this process's place.

    Raises:
      ArgumentError: If it does not list the processes, with this one among them.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise ArgumentError(
            "strategy",
            "multi_worker",
            "needs the environment variable TF_CONFIG, which lists its processes",
            f"{_TF_CONFIG}, or give --workers=2 to try it on this machine",
        )
    rule = _broken_rule(text)
    if rule:
        raise ArgumentError("TF_CONFIG", text, rule, _TF_CONFIG)
    config: dict[str, Any] = json.loads(text)
    return config


def _broken_rule(text: str) -> str | None:
    """The rule that TF_CONFIG breaks; None if it is valid."""
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], task["index"]
        workers = cluster["worker"]
        addresses = [address for job in cluster.values() for address in job]
        count = len(cluster[kind])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"must name the cluster's workers and this task ({type(error).__name__}: {error})"
    if not workers or any(not isinstance(job, list) for job in cluster.values()):
        return "must list at least one worker"
    for address in addresses:
        match = re.fullmatch(r".+:(\d{1,5})", address) if isinstance(address, str) else None
        if not match or not 0 < int(match[1]) < 2**16:
            return f"must list addresses as host:port, unlike {json.dumps(address)}"
    if len(set(addresses)) < len(addresses):
        return "must list each address once"
    if type(index) is not int or not 0 <= index < count:
        return f"must give this task an index from 0 to {count - 1}, not {json.dumps(index)}"
    return None


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """True if this process is the one that writes: the only one, or the first of several."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return True
    resolver = strategy.cluster_resolver
    if "chief" in resolver.cluster_spec().jobs:
        return bool(resolver.task_type == "chief")
    return resolver.task_type in (None, "worker") and not resolver.task_id


def _number_of_workers(strategy: tf.distribute.Strategy) -> int:
    """Processes of a `MultiWorkerMirroredStrategy`; without TF_CONFIG there is one."""
    jobs = strategy.cluster_resolver.cluster_spec().as_dict()
    return len(jobs.get("chief", [])) + len(jobs.get("worker", [])) or 1


def sum_over_workers(
    strategy: tf.distribute.Strategy, numbers: Sequence[int]
) -> tuple[list[int], int]:
    """The sums of numbers over all worker processes, and the number of processes.

    All processes must call it; it returns when all have.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return list(numbers), 1
    # Each replica of a process contributes the same; the additional 1 counts processes.
    replicas = strategy.num_replicas_in_sync // _number_of_workers(strategy)
    per_replica = strategy.run(lambda: tf.constant([*numbers, 1], tf.int64))
    *sums, count = strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None).numpy()
    return [int(total) // replicas for total in sums], int(count) // replicas


def meet_workers(strategy: tf.distribute.Strategy) -> None:
    """A barrier: returns when all processes of the strategy have called it."""
    sum_over_workers(strategy, [])


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """One line for people: the strategy, its replicas and their devices."""
    replicas = strategy.num_replicas_in_sync
    words = "1 replica" if replicas == 1 else f"{replicas} replicas"
    devices = [name.split("device:")[-1] for name in strategy.extended.worker_devices]
    where = ", ".join(devices)
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        name = "MultiWorkerMirroredStrategy"
        where = f"{_number_of_workers(strategy)} workers with {where} each"
    else:
        name = type(strategy).__name__
    return f"{name}, {words} on {where}"


def per_replica_batch_size(global_batch_size: int, strategy: tf.distribute.Strategy) -> int:
    """Examples of a global batch per replica.

    Raises:
      ArgumentError: If `global_batch_size` is not a positive multiple of the replicas.
    """
    replicas: int = strategy.num_replicas_in_sync
    if global_batch_size < 1 or global_batch_size % replicas:
        nearest = max(replicas, round(global_batch_size / replicas) * replicas)
        raise ArgumentError(
            "global_batch_size",
            global_batch_size,
            f"must be a positive multiple of the {replicas} replicas",
            f"use {nearest}",
        )
    return global_batch_size // replicas


class OnReplicas:
    """A function that runs on every replica; its metrics are summed in one all-reduce.

    Args:
      function: Returns scalars by name, each one replica's share of a sum.
      strategy: The strategy of the replicas.
      jit_compile: Whether XLA compiles it into one program.

    Raises:
      ArgumentError: If it is to be compiled for several replicas.
    """

    def __init__(
        self,
        function: Callable[..., Metrics],
        strategy: tf.distribute.Strategy,
        jit_compile: bool = False,
    ):
        if jit_compile and strategy.num_replicas_in_sync > 1:
            raise ArgumentError(
                "jit_compile",
                jit_compile,
                "needs a single replica: replicas communicate within an update",
                "train on one device, or leave it out",
            )
        self._strategy = strategy
        self._function = function
        if jit_compile:
            self._function = tf.function(function, jit_compile=True, autograph=False)

    def __call__(self, *arguments: Any) -> Metrics:
        """Returns the sums, scalars by name; called outside of a replica."""
        names: list[str] = []

        def run_on_replica(*arguments: Any) -> tf.Tensor:
            metrics = self._function(*arguments)
            names[:] = metrics
            return tf.stack(list(metrics.values()))

        per_replica = self._strategy.run(run_on_replica, args=arguments)
        sums = self._strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
        return dict(zip(names, tf.unstack(sums, num=len(names)), strict=True))


def variable_on_replicas(value: Any, name: str, dtype: tf.DType | None = None) -> tf.Variable:
    """A variable outside of the networks, assigned equally on all replicas."""
    return tf.Variable(
        value,
        dtype=dtype,
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
