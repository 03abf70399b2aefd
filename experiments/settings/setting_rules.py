"""Which settings may be given together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gan_core import AUGMENTATIONS, ArgumentError, check_divides, check_known

if TYPE_CHECKING:
    from experiments.settings.settings import Settings

ADAPTIVE = "adaptive"


def check(settings: Settings) -> None:
    """Raises `ArgumentError` if two values do not fit each other."""
    if settings.loss != "non_saturating" and (settings.real_label, settings.fake_label) != (1, 0):
        raise ArgumentError(
            "loss", settings.loss, "has no labels to smooth", "leave --real_label, --fake_label out"
        )
    if not settings.fake_label < settings.real_label <= 1:
        raise ArgumentError(
            "real_label",
            settings.real_label,
            f"must be above `fake_label` ({settings.fake_label}), and 1 at most",
            "use 0.9, say",
        )
    if not settings.cache_dir:
        raise ArgumentError(
            "cache_dir", "empty", "must name a folder", "leave it out for ~/.cache/gan_core"
        )
    if settings.image_size % 16 or settings.image_size > 256:
        rule = "must be a multiple of 16 up to 256"
        raise ArgumentError("image_size", settings.image_size, rule, "use 64 or 128, say")
    _check_learning_rates(settings)
    _check_augmentation(settings)
    _check_evaluation(settings)
    for name in ("log_every_steps", "sample_every_steps", "checkpoint_every_steps"):
        check_divides("steps_per_call", settings.steps_per_call, name, getattr(settings, name))


def _check_evaluation(settings: Settings) -> None:
    interval, name = settings.evaluate_every_steps, "evaluate_every_steps"
    if interval:
        check_divides("steps_per_call", settings.steps_per_call, name, interval)
    for other in ("stop_after_no_improvement", "on_collapse"):
        value = getattr(settings, other)
        if not interval and value != getattr(type(settings), other):
            raise ArgumentError(
                other, value, f"needs `{name}`", f"give --{name}=500, say, or leave it out"
            )
    if settings.extractor in ("inception", "file") and not settings.extractor_path:
        raise ArgumentError(
            "extractor_path",
            "empty",
            f"must name the file of `extractor` ({settings.extractor})",
            "give its path",
        )
    if settings.checkpoint == "all" and settings.mode == "generate":
        raise ArgumentError(
            "checkpoint", "all", "is for --mode=evaluate", "name best, newest or a step"
        )


def _check_learning_rates(settings: Settings) -> None:
    end = settings.learning_rate_decay_steps
    if settings.learning_rate_schedule == "constant":
        for name in ("learning_rate_decay_steps", "learning_rate_final_share"):
            if getattr(settings, name):
                raise ArgumentError(
                    name,
                    getattr(settings, name),
                    "needs learning rates that change",
                    "give --learning_rate_schedule=cosine, say",
                )
    elif end <= settings.learning_rate_warm_up_steps:
        raise ArgumentError(
            "learning_rate_decay_steps",
            end,
            f"must be above `learning_rate_warm_up_steps` ({settings.learning_rate_warm_up_steps})",
            "use the steps of the run",
        )


def _check_augmentation(settings: Settings) -> None:
    for name in filter(None, settings.augment.split(",")):
        check_known("augment", name, AUGMENTATIONS)
    probability, is_adaptive = (
        settings.augment_probability,
        settings.augment_probability == ADAPTIVE,
    )
    if not is_adaptive and not re.fullmatch(r"1(\.0*)?|0?\.\d+|0", probability):
        raise ArgumentError(
            "augment_probability", probability, "must be from 0 to 1", "or use adaptive"
        )
    if not settings.augment and (is_adaptive or float(probability) != 1):
        raise ArgumentError(
            "augment_probability", probability, "needs --augment", "name some, or leave it out"
        )
    if is_adaptive and settings.loss not in ("non_saturating", "minimax", "hinge"):
        raise ArgumentError(
            "augment_probability",
            probability,
            f"needs a loss for which a logit of 0 means undecided, unlike `loss` ({settings.loss})",
            "use hinge, say",
        )
    if settings.augment_target != type(settings).augment_target and not is_adaptive:
        raise ArgumentError(
            "augment_target",
            settings.augment_target,
            "needs a probability that adapts",
            "give --augment_probability=adaptive",
        )
