"""CycleGAN (Zhu et al. 2017): translates bright digits on dark walls to the opposite, and back."""

from types import SimpleNamespace

import keras
import tensorflow as tf
from keras.config import floatx
from keras.layers import Activation, Conv2D, Conv2DTranspose, LeakyReLU

import gan_core
from experiments.examples import common
from experiments.examples.domains import ByDomain, bright_and_dark

OTHER = {"bright": "dark", "dark": "bright"}


class CycleGame(gan_core.Game):
    """Least squares on patches, and 10 |there and back - image|, in both domains (equation 3)."""

    def forward(self, players: gan_core.Players, draw: gan_core.Draw) -> dict[str, SimpleNamespace]:
        """For each domain: logits of real and translated images, and the cycle loss."""
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
        """No further values."""
        return {}


def build_translator() -> keras.Model:
    """Images -> images, [B, 32, 32, 3] in [-1, 1]."""
    inner = [Conv2D(64, 4, 2, "same"), LeakyReLU(0.2), Conv2DTranspose(32, 4, 2, "same")]
    ends = [LeakyReLU(0.2), Conv2D(3, 3, padding="same"), Activation("tanh", dtype=floatx())]
    return keras.Sequential([keras.Input((32, 32, 3)), *inner, *ends])


def build_discriminator() -> keras.Model:
    """Images [B, 32, 32, 3] -> logits of patches, [B, 6, 6, 1]."""
    inner = [Conv2D(32, 4, 2, "same"), LeakyReLU(0.2), Conv2D(64, 4, 2, "same"), LeakyReLU(0.2)]
    return keras.Sequential([keras.Input((32, 32, 3)), *inner, Conv2D(1, 3, dtype=floatx())])


def main(run: common.ExampleRun) -> int:
    """Trains, or resumes; returns the exit code."""
    with run.strategy.scope():
        gan = gan_core.Gan(
            generator=ByDomain({name: build_translator() for name in OTHER}),
            discriminator=ByDomain({name: build_discriminator() for name in OTHER}),
            generator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=gan_core.Adam(2e-4, beta_1=0.5),
            global_batch_size=run.options.global_batch_size,
            game=CycleGame(gan_core.least_squares(), patches=True),
        )
    domains = bright_and_dark(run.open_source((32, 32, 3)))
    inputs = gan_core.data.from_uint8(domains["bright"].images[:64])
    return run.train(gan, domains, gan_core.run.samples_of(gan, inputs, domain="dark"))


EXAMPLE = common.Example(main, dataset="drawn_digits")

if __name__ == "__main__":
    EXAMPLE.main()
