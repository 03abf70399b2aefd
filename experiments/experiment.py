"""What an experiment states: two networks and how they are trained by default."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from etils import epy

import gan_core

with epy.lazy_imports():
    import keras


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A pair of networks and how it is trained by default.

    Attributes:
      name: Name of the module.
      build_generator: latent size -> built model, latents [B, Z] -> images [B, H, W, C].
      build_discriminator: () -> built model, images -> logits [B, 1].
      latents: What the generator is fed.
      defaults: Flags whose defaults differ from those in `settings.Settings`.
      value_range: Range of the generator's outputs.
    """

    name: str
    build_generator: Callable[[int], keras.Model]
    build_discriminator: Callable[[], keras.Model]
    latents: gan_core.LatentDistribution
    defaults: Mapping[str, Any]
    value_range: gan_core.data.ValueRange = (-1.0, 1.0)
