"""Flags of devices, workers and precision; the strategy that they name."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from etils import epy

import gan_core
from experiments.settings.flag import EACH_START, IF_ALLOWED, Options, flag

with epy.lazy_imports():
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Devices(Options):
    """Devices: strategy, workers, precision, compilation."""

    strategy: str = flag(
        "auto",
        IF_ALLOWED,
        choices=gan_core.run.STRATEGIES,
        training_only=True,
        aliases="devices gpus num_gpus",
    )
    """one_device: the first GPU, or the CPU; mirrored: data parallel over all of them; auto:
    mirrored if there are several. multi_worker: data parallel over the processes that the
    environment variable TF_CONFIG lists, with --workdir on a file system that all share."""
    virtual_devices: int = flag(
        1, IF_ALLOWED, above=0, at_most=256, training_only=True, aliases="devices"
    )
    """Number of devices to split the CPU into, to try --strategy=mirrored without GPUs."""
    workers: int = flag(1, EACH_START, above=0, at_most=256)
    """Number of processes to start on this machine, to try --strategy=multi_worker."""
    worker_timeout_secs: float = flag(600.0, EACH_START, above=0)
    """Start-up timeout for other workers, in seconds."""
    batch_norm: str = flag("per_replica", IF_ALLOWED, choices=("per_replica", "synchronized"))
    """Images from which batch normalization takes its statistics on several replicas. per_replica:
    the replica's part of the batch; synchronized: the global batch, for one message between
    replicas per layer."""
    precision: str = flag(
        "float32",
        IF_ALLOWED,
        choices=gan_core.fast.PRECISIONS,
        aliases="amp bf16 dtype fp16 mixed_precision",
    )
    """Arithmetic of the networks; weights and losses stay float32. auto: mixed_bfloat16 if the
    hardware computes in it (CPUs with AVX-512 BF16 or AMX, GPUs since Ampere), otherwise float32;
    mixed_float16 is for older GPUs."""
    jit_compile: bool = flag(False, IF_ALLOWED, aliases="xla")
    """Compile each update with XLA, on one device only; meant for GPUs, because convolutions are
    many times slower on CPUs. Latents differ from those without it."""
    deterministic: bool = flag(False, IF_ALLOWED)
    """Use only deterministic kernels, which are slower on GPUs. GPUs resume bit for bit only with
    this flag; CPUs always do."""


DevicesT = TypeVar("DevicesT", bound=Devices)


def choose_precision(settings: DevicesT) -> tuple[DevicesT, str]:
    """Settings with the precision that `auto` stands for on this machine, and the reason."""
    policy, reason = gan_core.fast.choose_precision(settings.precision)
    return dataclasses.replace(settings, precision=policy), f"{policy} ({reason})"


def make_strategy(settings: Devices, global_batch_size: int) -> tf.distribute.Strategy:
    """The strategy that `--strategy` and `--virtual_devices` name.

    Raises:
      ArgumentError: If the batch does not divide among its replicas.
    """
    if settings.virtual_devices > 1:
        gan_core.run.make_virtual_devices(settings.virtual_devices)
    name = "multi_worker" if settings.workers > 1 else settings.strategy
    if name == "multi_worker":
        gan_core.run.wait_for_workers(settings.worker_timeout_secs)
    strategy = gan_core.make_strategy(name)
    gan_core.run.per_replica_batch_size(global_batch_size, strategy)
    return strategy


def describe_strategy(settings: Devices, strategy: tf.distribute.Strategy) -> str:
    """The strategy, its devices and the reason for it, in words."""
    words = gan_core.run.describe_strategy(strategy)
    if settings.strategy != "auto" or settings.workers > 1:
        return f"{words} (as requested)"
    gpus = len(tf.config.list_logical_devices("GPU"))
    cpus = len(tf.config.list_logical_devices("CPU"))
    found = f"{gpus or 'no'} GPU{'' if gpus == 1 else 's'}"
    return f"{words} (auto: {found}{f', {cpus} virtual CPUs' if not gpus and cpus > 1 else ''})"
