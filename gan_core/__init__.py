"""A low-level TensorFlow engine for generative adversarial networks."""

from etils import epy

# Each name is imported when it is first used: `import gan_core` takes milliseconds, and what a
# program says before it trains (its help, a mistyped flag) does not wait for TensorFlow.
with epy.lazy_api_imports(globals()):
    from gan_core.augmentation import differentiable_augmentation
    from gan_core.averaging import WeightAverage
    from gan_core.checkpoint_files import (
        Facts,
        find_damage,
        latest_facts,
        newest_facts,
        step_of,
        step_paths,
    )
    from gan_core.checkpoints import Checkpoints
    from gan_core.choices import (
        ARRAY_FILE_ENDINGS,
        AUGMENTATIONS,
        BAD_IMAGES,
        CROPS,
        LOSSES,
        PRECISIONS,
        STRATEGIES,
    )
    from gan_core.curves import curves_png, read_metrics
    from gan_core.datasets.array_file import array_file_images
    from gan_core.datasets.drawn_digits import drawn_digits
    from gan_core.datasets.folder import folder_images
    from gan_core.datasets.source import ImageSource
    from gan_core.datasets.tfds import tfds_images
    from gan_core.draw import Draw
    from gan_core.durable_files import write_durably
    from gan_core.errors import ArgumentError, check_divides, check_positive
    from gan_core.game import Game
    from gan_core.hooks import CurvesPicture, Every, Hook, KeepTrying, MetricsWindow, SampleGrid
    from gan_core.images import (
        ValueRange,
        from_uint8,
        gif_bytes,
        grid,
        png_bytes,
        to_uint8,
        with_caption,
    )
    from gan_core.latents import LatentDistribution, NormalLatents, UniformLatents
    from gan_core.layers import (
        BatchNormalization,
        Conv2D,
        Conv2DTranspose,
        UpSamplingConv2D,
        synchronize_batch_normalization,
    )
    from gan_core.loop import NotFiniteError, make_step_loop, train
    from gan_core.losses import (
        AdversarialLoss,
        hinge,
        least_squares,
        minimax,
        non_saturating,
        relativistic,
        wasserstein,
    )
    from gan_core.optimizers import Adam
    from gan_core.penalties import Penalty, Regularizer, consistency, r1, r2, wgan_gp
    from gan_core.pipeline import image_batches, read_images
    from gan_core.players import Augment, Outputs, Players
    from gan_core.precision import choose_precision
    from gan_core.process_memory import peak_resident_gib, resident_gib
    from gan_core.random_streams import stream_seed
    from gan_core.run_lock import RunLock
    from gan_core.status_line import StatusWriter, duration, say
    from gan_core.step import GanStep
    from gan_core.stop_signals import StopSignals
    from gan_core.strategies import (
        describe_strategy,
        is_chief,
        make_strategy,
        make_virtual_devices,
        per_replica_batch_size,
        sum_over_workers,
    )
    from gan_core.types import Batch, Metrics, Terms
    from gan_core.update_schedules import Schedule, alternating, simultaneous
    from gan_core.writers import (
        JsonLinesWriter,
        MultiWriter,
        PictureFilesWriter,
        TensorBoardWriter,
        Writer,
    )
