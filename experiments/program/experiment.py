"""An experiment: two networks and the defaults for training them."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from etils import epy

import gan_core
from gan_core import ArgumentError, check_known

with epy.lazy_imports():
    import keras

ORIGINAL = "original"


@dataclasses.dataclass(frozen=True)
class Networks:
    """Sister networks: two networks that can replace an experiment's own.

    Attributes:
      about: Difference from the experiment's own networks, and the reason, in a sentence.
      build_generator: Maps the latent size, and the image size if resizable, to a built model.
      build_discriminator: Maps nothing, or the image size if resizable, to a built model.
      is_resizable: Whether they are built for the size that `--image_size` gives.
    """

    about: str
    build_generator: Callable[..., keras.Model]
    build_discriminator: Callable[..., keras.Model]
    is_resizable: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Two networks and the defaults for training them.

    Attributes:
      name: Name of the module.
      build_generator: Maps the latent size to a built model, latents [B, Z] -> images [B, H, W, C].
      build_discriminator: Returns a built model, images -> logits [B, 1].
      latents: Distribution of the generator's inputs.
      defaults: Defaults by flag that override those in `experiments.settings`.
      value_range: Range of the generator's outputs.
      sisters: Other networks for the same images, by the name that `--networks` takes.
    """

    name: str
    build_generator: Callable[[int], keras.Model]
    build_discriminator: Callable[[], keras.Model]
    latents: gan_core.LatentDistribution
    defaults: Mapping[str, Any]
    value_range: gan_core.data.ValueRange = (-1.0, 1.0)
    sisters: Mapping[str, Networks] = dataclasses.field(default_factory=dict)

    def with_networks(self, name: str, image_size: int) -> Experiment:
        """The experiment with the networks of a name, for images of a size.

        Args:
          name: `original`, or one of `sisters`.
          image_size: Height and width in pixels; 0 for those of the original networks.

        Raises:
          ArgumentError: If there are no such networks, or they have one size only.
        """
        check_known("networks", name, [ORIGINAL, *self.sisters])
        networks = self.sisters.get(name)
        if image_size and not (networks and networks.is_resizable):
            resizable = [other for other, each in self.sisters.items() if each.is_resizable]
            remedy = f"add --networks={resizable[0]}" if resizable else "leave it out"
            rule = f"does not apply to the networks `{name}` of {self.name}, which have one size"
            raise ArgumentError("image_size", image_size, rule, remedy)
        if networks is None:
            return self
        size = [image_size] if networks.is_resizable else []
        return dataclasses.replace(
            self,
            build_generator=lambda latent_size: networks.build_generator(latent_size, *size),
            build_discriminator=lambda: networks.build_discriminator(*size),
        )


def load_experiment(
    name: str, remedy: str = "see python -m experiments; for example svhn_dcgan"
) -> Experiment:
    """The experiment of a module.

    Args:
      name: Name of the module, for example `svhn_dcgan`.
      remedy: Remedy in the error.

    Raises:
      ArgumentError: If there is no such experiment.
    """
    module = f"experiments.{name}"
    if name.isidentifier() and importlib.util.find_spec(module) is not None:
        found = getattr(importlib.import_module(module), "EXPERIMENT", None)
        if isinstance(found, Experiment):
            return found
    raise ArgumentError("experiment", name, "must be an experiment", remedy)
