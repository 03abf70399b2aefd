"""Where the step runs: a `tf.distribute` strategy by name."""

from __future__ import annotations

import tensorflow as tf

from gan_core.errors import ArgumentError

STRATEGIES = ("auto", "one_device", "mirrored")


def make_virtual_devices(num_devices: int) -> None:
    """Splits the CPU into logical devices, to try distribution without GPUs.

    It must come before TensorFlow's first operation in the process.

    Raises:
      ArgumentError: If TensorFlow has already set up its devices with another number.
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

    Make one a process: a second MirroredStrategy on the same devices can abort TensorFlow.

    Args:
      name: `one_device`: the first GPU, or the CPU. `mirrored`: data parallel over all GPUs, or
        over all logical CPUs where there is no GPU. `auto`: `mirrored` where there is more than
        one such device, `one_device` otherwise.

    Raises:
      ArgumentError: If there is no such strategy.
    """
    if name not in STRATEGIES:
        raise ArgumentError(
            "strategy", name, "must be a known strategy", f"use one of {', '.join(STRATEGIES)}"
        )
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    if name == "mirrored" or (name == "auto" and len(names) > 1):
        return tf.distribute.MirroredStrategy(names)
    return tf.distribute.OneDeviceStrategy(names[0])


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """One line for people: the strategy, its replicas and their devices."""
    devices = [name.split("device:")[-1] for name in strategy.extended.worker_devices]
    replicas = strategy.num_replicas_in_sync
    plural = "replica" if replicas == 1 else "replicas"
    return f"{type(strategy).__name__}, {replicas} {plural} on {', '.join(devices)}"


def per_replica_batch_size(global_batch_size: int, strategy: tf.distribute.Strategy) -> int:
    """How many examples of a global batch one replica gets.

    Raises:
      ArgumentError: If `global_batch_size` is not a positive multiple of the replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if global_batch_size < 1 or global_batch_size % replicas:
        nearest = max(replicas, round(global_batch_size / replicas) * replicas)
        raise ArgumentError(
            "global_batch_size",
            global_batch_size,
            f"must be a positive multiple of the {replicas} replicas",
            f"use {nearest}",
        )
    return global_batch_size // replicas
