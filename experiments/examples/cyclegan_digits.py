"""CycleGAN (Zhu et al. 2017): bright digits on dark walls into dark ones on bright, and back."""

from collections.abc import Sequence
from types import SimpleNamespace

import keras
import tensorflow as tf
from keras.config import floatx
from keras.layers import Activation, Conv2D, Conv2DTranspose, LeakyReLU

import gan_core
from experiments.examples import common as example

OTHER = {"bright": "dark", "dark": "bright"}


class CycleGame(gan_core.Game):
    """Least squares on patches, and 10 |there and back - image|, in both domains (equation 3)."""

    def forward(self, players: gan_core.Players, draw: gan_core.Draw) -> dict[str, SimpleNamespace]:
        """For each domain: logits of real and translated images, and how well cycles close."""
        real = {name: draw.scaled(draw.batch[name]) for name in OTHER}
        fake = {name: players.generate(real[OTHER[name]], domain=name) for name in OTHER}
        sides = {name: SimpleNamespace() for name in OTHER}
        for name, side in sides.items():
            back = players.generate(fake[OTHER[name]], domain=name)
            side.cycle = 10.0 * tf.reduce_mean(tf.abs(back - real[name]), axis=[1, 2, 3])
            side.real_logits = players.discriminate(real[name], domain=name)
            side.fake_logits = players.discriminate(fake[name], domain=name)
        return sides

    def discriminator_terms(self, outputs: dict[str, SimpleNamespace]) -> gan_core.Terms:
        """Both discriminators' least squares: `bright_real` and so on."""
        terms = {name: self.loss.discriminator(side) for name, side in outputs.items()}
        return {f"{name}_{term}": terms[name][term] for name in terms for term in terms[name]}

    def generator_terms(self, outputs: dict[str, SimpleNamespace]) -> gan_core.Terms:
        """Both generators' least squares: `bright`, and `bright_cycle`."""
        cycles = {f"{name}_cycle": side.cycle for name, side in outputs.items()}
        return cycles | {name: self.loss.generator(outputs[name])["adversarial"] for name in OTHER}

    def observations(self, outputs: dict[str, SimpleNamespace]) -> gan_core.Terms:
        """Nothing besides."""
        return {}


def build_translator() -> keras.Model:
    """Images -> images, [B, 32, 32, 3] in [-1, 1]."""
    inner = [Conv2D(64, 4, 2, "same"), LeakyReLU(0.2), Conv2DTranspose(32, 4, 2, "same")]
    ends = [LeakyReLU(0.2), Conv2D(3, 3, padding="same"), Activation("tanh", dtype=floatx())]
    return keras.Sequential([keras.Input((32, 32, 3)), *inner, *ends])


def build_judge() -> keras.Model:
    """Images [B, 32, 32, 3] -> logits of patches, [B, 6, 6, 1]."""
    inner = [Conv2D(32, 4, 2, "same"), LeakyReLU(0.2), Conv2D(64, 4, 2, "same"), LeakyReLU(0.2)]
    return keras.Sequential([keras.Input((32, 32, 3)), *inner, Conv2D(1, 3, dtype=floatx())])


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, or goes on; returns the exit code."""
    options = example.begin("cyclegan_digits", arguments, dataset="drawn_digits")
    with options.strategy.scope():
        gan = gan_core.Gan(
            generator=example.ByDomain({name: build_translator() for name in OTHER}),
            discriminator=example.ByDomain({name: build_judge() for name in OTHER}),
            generator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            global_batch_size=options.global_batch_size,
            game=CycleGame(gan_core.least_squares(), patches=True),
        )
    domains = example.bright_and_dark(options)
    bright = gan_core.data.from_uint8(domains["bright"].images[:64])
    picture = gan_core.run.samples_of(gan, bright, domain="dark")
    return example.train(options, gan, domains, make_picture=picture)


if __name__ == "__main__":
    example.exit_with(main)
