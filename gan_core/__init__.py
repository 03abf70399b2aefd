"""A low-level TensorFlow engine for generative adversarial networks.

This level holds the parts of a game and its training. `gan_core.data` reads images, `gan_core.run`
keeps a run in a folder, `gan_core.evaluation` judges samples, and `gan_core.fast` has layers that
are faster than those of Keras on CPUs.
"""

from etils import epy

from gan_core import data as data
from gan_core import evaluation as evaluation
from gan_core import fast as fast
from gan_core import run as run

# Names are imported on first use: `import gan_core` takes milliseconds, and programs answer before
# TensorFlow's import (help, a mistyped flag). `A as A` makes a name public for type checkers.
with epy.lazy_api_imports(globals()):
    from gan_core.augmentation import AdaptiveProbability as AdaptiveProbability
    from gan_core.augmentation import differentiable_augmentation as differentiable_augmentation
    from gan_core.averaging import WeightAverage as WeightAverage
    from gan_core.choices import AUGMENTATIONS as AUGMENTATIONS
    from gan_core.choices import LEARNING_RATES as LEARNING_RATES
    from gan_core.draw import Draw as Draw
    from gan_core.draw import stream_seed as stream_seed
    from gan_core.errors import ArgumentError as ArgumentError
    from gan_core.errors import check_divides as check_divides
    from gan_core.errors import check_known as check_known
    from gan_core.errors import check_positive as check_positive
    from gan_core.game import Game as Game
    from gan_core.game_state import GameState as GameState
    from gan_core.gan import Gan as Gan
    from gan_core.images import to_uint8 as to_uint8
    from gan_core.latents import LatentDistribution as LatentDistribution
    from gan_core.latents import NormalLatents as NormalLatents
    from gan_core.latents import UniformLatents as UniformLatents
    from gan_core.learning_rates import learning_rate as learning_rate
    from gan_core.losses import LOSSES as LOSSES
    from gan_core.losses import AdversarialLoss as AdversarialLoss
    from gan_core.losses import hinge as hinge
    from gan_core.losses import least_squares as least_squares
    from gan_core.losses import minimax as minimax
    from gan_core.losses import non_saturating as non_saturating
    from gan_core.losses import relativistic as relativistic
    from gan_core.losses import wasserstein as wasserstein
    from gan_core.optimizers import Adam as Adam
    from gan_core.optimizers import RMSprop as RMSprop
    from gan_core.penalties import Penalty as Penalty
    from gan_core.penalties import Regularizer as Regularizer
    from gan_core.penalties import consistency as consistency
    from gan_core.penalties import lecam as lecam
    from gan_core.penalties import r1 as r1
    from gan_core.penalties import r2 as r2
    from gan_core.penalties import wgan_gp as wgan_gp
    from gan_core.players import Augment as Augment
    from gan_core.players import Outputs as Outputs
    from gan_core.players import Players as Players
    from gan_core.run.loop import train as train
    from gan_core.strategies import make_strategy as make_strategy
    from gan_core.types import Metrics as Metrics
    from gan_core.types import Terms as Terms
    from gan_core.update_schedules import Schedule as Schedule
    from gan_core.update_schedules import alternating as alternating
    from gan_core.update_schedules import simultaneous as simultaneous
