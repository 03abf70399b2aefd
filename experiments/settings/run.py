"""Flags of a run's mode, folder, length and intervals; its plan and schedule."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gan_core
from experiments.settings.flag import EACH_START, FREELY, IF_ALLOWED, NEVER, Options, flag
from gan_core import ArgumentError

MODES = {
    "train": "train a new run, or resume the run in --workdir",
    "generate": "pictures from a run's best checkpoint, or the newest if none was evaluated",
    "evaluate": "quality of a run's checkpoints, as a table and a CSV file",
    "info": "networks, data, devices and settings, without training",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Options):
    """Run: mode, folder, length and intervals."""

    mode: str = flag(
        "train",
        "; ".join(f"{name}: {words}" for name, words in MODES.items()) + ".",
        choices=MODES,
        changes=EACH_START,
    )
    workdir: str = flag(
        "",
        "Folder of the run, for everything it writes; runs/<experiment> if empty. If it holds a "
        "run, flags that are not given are read from its effective.flags.",
        changes=EACH_START,
        is_path=True,
        aliases="checkpoint_dir continue log_dir logdir model_dir out out_dir outdir output_dir "
        "restore resume run_dir save_dir",
    )
    total_steps: int = flag(
        3000,
        "Last step, counted from the run's start. A larger value trains a run further.",
        at_least=0,
        changes=FREELY,
        aliases="epochs iterations iters num_epochs steps",
    )
    total_minutes: float = flag(
        0.0,
        "End earlier, after this many minutes of training without evaluations; 0 for no limit. A "
        "larger value trains a run further.",
        at_least=0,
        changes=FREELY,
    )
    global_batch_size: int = flag(
        128,
        "Images per step, over all devices together.",
        above=0,
        at_most=1e6,
        changes=NEVER,
        aliases="batch bs",
    )
    discriminator_updates: int = flag(
        1,
        "Discriminator updates per step. 1: both networks are updated from one shared pass; more: "
        "each has its own batch, and one generator update follows.",
        above=0,
        at_most=100,
        changes=NEVER,
        aliases="critic_steps d_steps n_critic",
    )
    seed: int = flag(
        0,
        "Seed of weights, latents and the order of images.",
        at_least=0,
        at_most=2**31 - 1,
        changes=NEVER,
        aliases="random_seed",
    )
    steps_per_call: int = flag(
        10,
        "Steps per call into the graph; must divide the intervals --log_every_steps, "
        "--sample_every_steps, --checkpoint_every_steps and --evaluate_every_steps.",
        above=0,
        at_most=1e6,
        changes=IF_ALLOWED,
    )
    log_every_steps: int = flag(100, "Steps between status lines.", above=0, changes=IF_ALLOWED)
    sample_every_steps: int = flag(
        500,
        "Steps between grids of samples; the first ones come at steps 10, 25, 50 and 100.",
        above=0,
        changes=IF_ALLOWED,
    )
    checkpoint_every_steps: int = flag(
        500, "Steps between checkpoints.", above=0, changes=IF_ALLOWED, aliases="save_every"
    )
    keep_checkpoints: int = flag(
        3, "Number of newest checkpoints to keep.", above=0, at_most=1e6, changes=FREELY
    )
    on_nan: str = flag(
        "stop",
        "Action if a loss or a gradient is NaN or infinite, after saving the batch. stop: end; "
        "rollback: return to the newest checkpoint, and continue with other random numbers.",
        choices=gan_core.run.ON_NAN,
        changes=FREELY,
    )
    maximum_rollbacks: int = flag(
        3, "Maximum number of rollbacks in a run.", above=0, at_most=1e6, changes=FREELY
    )
    allow_changes: bool = flag(
        False,
        "Resume with changed intervals, devices, precision, learning rates or clipping.",
        changes=EACH_START,
    )
    dry_run: bool = flag(
        False,
        "Check everything and print the plan, without training or writing to --workdir. Data are "
        "downloaded and decoded where necessary.",
        changes=EACH_START,
    )
    num_images: int = flag(
        64,
        "Number of pictures that --mode=generate makes.",
        above=0,
        at_most=1e8,
        changes=EACH_START,
        aliases="images",
    )
    checkpoint: str = flag(
        "",
        "Checkpoint for --mode=generate and evaluate: best, newest, a step, or all (evaluate "
        "only). Empty for the best, or the newest if none was evaluated.",
        changes=EACH_START,
    )
    output: str = flag(
        "",
        "With --mode=generate, a .png file for one grid or a folder for single pictures; "
        "<workdir>/generated.png if empty. With --mode=evaluate, a .csv file; "
        "<workdir>/evaluation.csv if empty.",
        changes=EACH_START,
        is_path=True,
        aliases="out out_dir outdir output_dir",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        make_plan(self)
        if self.checkpoint == "all" and self.mode == "generate":
            rule, remedy = "is for --mode=evaluate", "name best, newest or a step"
            raise ArgumentError("checkpoint", "all", rule, remedy)


def make_plan(settings: Run) -> gan_core.run.Plan:
    """Length and intervals of the run.

    Raises:
      ArgumentError: If `steps_per_call` does not divide an interval.
    """
    names = [field.name for field in dataclasses.fields(gan_core.run.Plan)]
    values = {name: getattr(settings, name) for name in names}
    return gan_core.run.Plan(**values | {"total_minutes": settings.total_minutes or None})


def make_schedule(settings: Run) -> gan_core.Schedule:
    """One shared pass per step, or several discriminator updates and a generator update."""
    if settings.discriminator_updates == 1:
        return gan_core.simultaneous()
    return gan_core.alternating(settings.discriminator_updates)


def choose_checkpoint(settings: Run) -> Path:
    """The checkpoint that `--checkpoint` names; if empty the best, or else the newest.

    Raises:
      ArgumentError: If there is none.
    """
    folder = Path(settings.workdir) / "checkpoints"
    if settings.checkpoint:
        return gan_core.run.find_checkpoint(folder, settings.checkpoint)
    found = gan_core.run.best_of(gan_core.run.step_paths(folder))
    found = found or gan_core.run.newest_undamaged(folder, rename_damaged=False)
    if found is None:
        rule = "must hold an undamaged checkpoint"
        raise ArgumentError("workdir", settings.workdir, rule, "train there again")
    return found
