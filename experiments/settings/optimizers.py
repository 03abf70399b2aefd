"""Flags of optimizers, learning rates and weight averaging; the two optimizers."""

from __future__ import annotations

import dataclasses
from typing import Any

from etils import epy

import gan_core
from experiments.settings.flag import IF_ALLOWED, NEVER, Options, flag
from gan_core import ArgumentError

with epy.lazy_imports():
    import keras


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizers(Options):
    """Optimizers: learning rates, gradients, weight averaging."""

    optimizer: str = flag("adam", NEVER, choices=("adam", "rmsprop"))
    """Optimizer of both networks."""
    generator_learning_rate: float = flag(
        2e-4, IF_ALLOWED, above=0, aliases="g_lr learning_rate lr"
    )
    """Learning rate of the generator."""
    discriminator_learning_rate: float = flag(
        2e-4, IF_ALLOWED, above=0, aliases="d_lr learning_rate lr"
    )
    """Learning rate of the discriminator."""
    beta_1: float = flag(0.5, NEVER, below=1)
    """Adam's decay of the first moment; rmsprop does not use it."""
    beta_2: float = flag(0.999, NEVER, below=1)
    """Adam's decay of the second moment, below 1; rmsprop does not use it. A smaller value forgets
    large early gradients sooner."""
    learning_rate_schedule: str = flag(
        "constant", NEVER, choices=gan_core.LEARNING_RATES, aliases="lr_schedule"
    )
    """Course of both learning rates over the steps: constant, or a fall to a share of their peak
    along a line (linear) or half a cosine (cosine)."""
    learning_rate_decay_steps: int = flag(
        0, IF_ALLOWED, unless=("learning_rate_schedule", "constant")
    )
    """Step at which learning rates reach their final share. 0 for the --total_steps that the run is
    started with, even if a later start gives a larger one."""
    learning_rate_final_share: float = flag(
        0.0, IF_ALLOWED, at_most=1, unless=("learning_rate_schedule", "constant")
    )
    """Final learning rates, as a share of their peak."""
    learning_rate_warm_up_steps: int = flag(0, NEVER, aliases="warmup_steps")
    """Steps of warm-up at the run's start, in which learning rates rise from 0."""
    clip_norm: float = flag(0.0, IF_ALLOWED, aliases="grad_clip max_grad_norm")
    """Largest norm of a network's gradient, over all its variables together; longer gradients are
    scaled down to it. 0 for no limit."""
    gradient_accumulation_steps: int = flag(1, NEVER, above=0, at_most=1e6, aliases="grad_accum")
    """Updates of a network whose gradients are averaged and applied at once, for a batch this many
    times as large in the memory of one. Steps are counted as without it."""
    average_half_life_images: float = flag(0.0, NEVER, aliases="ema")
    """Half-life, in images, of the moving average of the generator's weights that makes the
    samples. 0 makes samples from the weights themselves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        decay, warm_up = self.learning_rate_decay_steps, self.learning_rate_warm_up_steps
        if self.learning_rate_schedule == "constant":
            for name in ("learning_rate_decay_steps", "learning_rate_final_share"):
                if value := getattr(self, name):
                    remedy = "give --learning_rate_schedule=cosine, for example"
                    raise ArgumentError(name, value, "needs learning rates that change", remedy)
        elif decay <= warm_up:
            rule = f"must be above `learning_rate_warm_up_steps` ({warm_up})"
            remedy = "use the steps of the run"
            raise ArgumentError("learning_rate_decay_steps", decay, rule, remedy)


def resolve_decay(values: dict[str, Any], total_steps: int) -> dict[str, Any]:
    """Settings by name with the end of a decay, which a larger `--total_steps` does not stretch."""
    schedule = values.get("learning_rate_schedule", Optimizers.learning_rate_schedule)
    if schedule == "constant" or values.get("learning_rate_decay_steps"):
        return values
    return values | {"learning_rate_decay_steps": total_steps}


def make_optimizers(
    settings: Optimizers, *, discriminator_updates: int, scales_loss: bool
) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
    """The generator's optimizer and the discriminator's.

    Args:
      settings: Names them.
      discriminator_updates: Updates per step, so that rates change with steps.
      scales_loss: Whether they scale losses, as float16 needs.
    """
    rates = (
        (settings.generator_learning_rate, 1),
        (settings.discriminator_learning_rate, discriminator_updates),
    )
    generator, discriminator = (_make_optimizer(settings, *rate) for rate in rates)
    if scales_loss:
        scaled = keras.optimizers.LossScaleOptimizer
        return scaled(generator), scaled(discriminator)
    return generator, discriminator


def set_learning_rates(gan: gan_core.Gan, settings: Optimizers) -> None:
    """Gives both optimizers the settings' rates, in place of those that a checkpoint restored.

    Rates that change are functions of settings and update counts, which a checkpoint lacks.
    """
    if settings.learning_rate_schedule != "constant" or settings.learning_rate_warm_up_steps:
        return
    for optimizer, rate in (
        (gan.generator_optimizer, settings.generator_learning_rate),
        (gan.discriminator_optimizer, settings.discriminator_learning_rate),
    ):
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = rate


def _make_optimizer(
    settings: Optimizers, peak: float, updates_per_step: int
) -> keras.optimizers.Optimizer:
    rate = gan_core.learning_rate(
        peak,
        settings.learning_rate_schedule,
        decay_steps=settings.learning_rate_decay_steps * updates_per_step,
        final_share=settings.learning_rate_final_share,
        warm_up_steps=settings.learning_rate_warm_up_steps * updates_per_step,
    )
    steps = settings.gradient_accumulation_steps
    gradients = {
        "global_clipnorm": settings.clip_norm or None,
        "gradient_accumulation_steps": steps if steps > 1 else None,
    }
    if settings.optimizer == "adam":
        betas = {"beta_1": settings.beta_1, "beta_2": settings.beta_2}
        return gan_core.Adam(rate, **betas, **gradients)
    return gan_core.RMSprop(rate, **gradients)
