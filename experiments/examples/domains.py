"""Two domains of images, for translation between them, and networks by domain."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

import gan_core


class ByDomain(keras.Model):
    """Several networks in one, selected by the name of a domain.

    Args:
      networks: Built networks from images, by name.
    """

    def __init__(self, networks: Mapping[str, keras.Model]):
        super().__init__()
        self.networks = dict(networks)
        self.built = True

    def call(self, images: tf.Tensor, domain: str) -> tf.Tensor:
        """The output of the network of `domain`."""
        return self.networks[domain](images)


def bright_and_dark(source: gan_core.data.ImageSource) -> dict[str, gan_core.data.ImageSource]:
    """Two sources, 32x32x3: images whose middle is brighter than the whole, and the others."""
    is_bright = source.images[:, 8:24, 8:24].mean((1, 2, 3)) > source.images.mean((1, 2, 3))
    return {
        name: gan_core.data.ImageSource(name, source.images[chosen], source.labels[chosen])
        for name, chosen in (("bright", is_bright), ("dark", ~is_bright))
    }
