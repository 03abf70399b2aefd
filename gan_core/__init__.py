"""A low-level TensorFlow engine for generative adversarial networks.

Here is what a game and its training are made of. `gan_core.data` reads images, `gan_core.run` keeps
a run in a folder, `gan_core.evaluation` judges samples, `gan_core.fast` has layers that are faster
than Keras's on CPUs.
"""

from etils import epy

from gan_core import data, evaluation, fast, run

# Each name is imported when it is first used: `import gan_core` takes milliseconds, and what a
# program says before it trains (its help, a mistyped flag) does not wait for TensorFlow.
with epy.lazy_api_imports(globals()):
    from gan_core.augmentation import (
        AdaptiveProbability,
        differentiable_augmentation,
    )
    from gan_core.averaging import WeightAverage
    from gan_core.choices import AUGMENTATIONS, LEARNING_RATES
    from gan_core.draw import Draw, stream_seed
    from gan_core.errors import (
        ArgumentError,
        check_divides,
        check_known,
        check_positive,
    )
    from gan_core.game import Game
    from gan_core.game_state import GameState
    from gan_core.gan import Gan
    from gan_core.images import to_uint8
    from gan_core.latents import LatentDistribution, NormalLatents, UniformLatents
    from gan_core.learning_rates import learning_rate
    from gan_core.losses import (
        LOSSES,
        AdversarialLoss,
        hinge,
        least_squares,
        minimax,
        non_saturating,
        relativistic,
        wasserstein,
    )
    from gan_core.optimizers import Adam, RMSprop
    from gan_core.penalties import (
        Penalty,
        Regularizer,
        consistency,
        lecam,
        r1,
        r2,
        wgan_gp,
    )
    from gan_core.players import Augment, Outputs, Players
    from gan_core.run.loop import train
    from gan_core.strategies import make_strategy
    from gan_core.types import Metrics, Terms
    from gan_core.update_schedules import Schedule, alternating, simultaneous

__all__ = [
    "AUGMENTATIONS",
    "LEARNING_RATES",
    "LOSSES",
    "Adam",
    "AdaptiveProbability",
    "AdversarialLoss",
    "ArgumentError",
    "Augment",
    "Draw",
    "Game",
    "GameState",
    "Gan",
    "LatentDistribution",
    "Metrics",
    "NormalLatents",
    "Outputs",
    "Penalty",
    "Players",
    "RMSprop",
    "Regularizer",
    "Schedule",
    "Terms",
    "UniformLatents",
    "WeightAverage",
    "alternating",
    "check_divides",
    "check_known",
    "check_positive",
    "consistency",
    "data",
    "differentiable_augmentation",
    "evaluation",
    "fast",
    "hinge",
    "learning_rate",
    "least_squares",
    "lecam",
    "make_strategy",
    "minimax",
    "non_saturating",
    "r1",
    "r2",
    "relativistic",
    "run",
    "simultaneous",
    "stream_seed",
    "to_uint8",
    "train",
    "wasserstein",
    "wgan_gp",
]
