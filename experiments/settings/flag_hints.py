"""Which flag somebody means who types a name of another program, or mistypes one of ours."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_RATES = ("generator_learning_rate", "discriminator_learning_rate")
_OTHER_NAMES = {
    "ada": ("augment_probability",),
    "ada_target": ("augment_target",),
    "amp": ("precision",),
    "batch": ("global_batch_size",),
    "bf16": ("precision",),
    "bs": ("global_batch_size",),
    "checkpoint_dir": ("workdir",),
    "class_conditional": ("num_classes",),
    "classes": ("num_classes",),
    "conditional": ("num_classes",),
    "config": ("flagfile",),
    "continue": ("workdir",),
    "critic_steps": ("discriminator_updates",),
    "d_lr": ("discriminator_learning_rate",),
    "d_steps": ("discriminator_updates",),
    "data": ("dataset", "data_dir"),
    "data_path": ("data_dir",),
    "devices": ("strategy", "virtual_devices"),
    "dtype": ("precision",),
    "ema": ("average_half_life_images",),
    "epochs": ("total_steps",),
    "folder": ("data_dir",),
    "fp16": ("precision",),
    "g_lr": ("generator_learning_rate",),
    "gamma": ("r1_weight",),
    "gpus": ("strategy",),
    "grad_accum": ("gradient_accumulation_steps",),
    "grad_clip": ("clip_norm",),
    "hflip": ("flip",),
    "image_dir": ("data_dir",),
    "images": ("data_dir", "num_images"),
    "input": ("data_dir",),
    "iterations": ("total_steps",),
    "iters": ("total_steps",),
    "log_dir": ("workdir",),
    "logdir": ("workdir",),
    "learning_rate": _RATES,
    "lr": _RATES,
    "lr_schedule": ("learning_rate_schedule",),
    "max_grad_norm": ("clip_norm",),
    "mirror": ("flip",),
    "mixed_precision": ("precision",),
    "model_dir": ("workdir",),
    "n_critic": ("discriminator_updates",),
    "num_epochs": ("total_steps",),
    "num_gpus": ("strategy",),
    "out_dir": ("workdir", "output"),
    "out": ("workdir", "output"),
    "outdir": ("workdir", "output"),
    "output_dir": ("workdir", "output"),
    "random_seed": ("seed",),
    "restore": ("workdir",),
    "resume": ("workdir",),
    "run_dir": ("workdir",),
    "save_dir": ("workdir",),
    "save_every": ("checkpoint_every_steps",),
    "steps": ("total_steps",),
    "warmup_steps": ("learning_rate_warm_up_steps",),
    "xla": ("jit_compile",),
}


def flags_meant(typed: str, known: Sequence[str]) -> list[str]:
    """The flags that an unknown one may stand for, the likeliest first; none if nothing is near.

    Names of other programs come first, then flags of which the typed words are a part
    (`batch_size`, `learning_rate`, `log_every`), then those that are spelt alike.

    Args:
      typed: Name without dashes.
      known: Names of all flags.
    """
    name = typed.lower().replace("-", "_")
    if name in known:
        return [name]
    if name in _OTHER_NAMES:
        return [flag for flag in _OTHER_NAMES[name] if flag in known]
    words = name.split("_")
    containing = [flag for flag in known if len(name) > 3 and _has_words(flag.split("_"), words)]
    return containing or difflib.get_close_matches(name, known, n=2, cutoff=0.75)


def _has_words(words: Sequence[str], part: Sequence[str]) -> bool:
    """Whether `part` stands in `words`, in one piece."""
    starts = range(len(words) - len(part) + 1)
    return any(list(words[start : start + len(part)]) == list(part) for start in starts)
