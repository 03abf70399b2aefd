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

    mode: str = flag("train", EACH_START, choices=MODES)
    """Mode of the program."""
    workdir: str = flag(
        "",
        EACH_START,
        is_path=True,
        aliases="checkpoint_dir continue log_dir logdir model_dir out out_dir outdir output_dir "
        "restore resume run_dir save_dir",
    )
    """Folder of the run, for everything it writes; runs/<experiment> if empty. If it holds a run,
    flags that are not given are read from its effective.flags."""
    total_steps: int = flag(3000, FREELY, aliases="epochs iterations iters num_epochs steps")
    """Last step, counted from the run's start. A larger value trains a run further."""
    total_minutes: float = flag(0.0, FREELY)
    """End earlier, after this many minutes of training without evaluations; 0 for no limit. A
    larger value trains a run further."""
    global_batch_size: int = flag(128, NEVER, above=0, at_most=1e6, aliases="batch bs")
    """Images per step, over all devices together."""
    discriminator_updates: int = flag(
        1, NEVER, above=0, at_most=100, aliases="critic_steps d_steps n_critic"
    )
    """Discriminator updates per step. 1: both networks are updated from one shared pass; more: each
    has its own batch, and one generator update follows."""
    seed: int = flag(0, NEVER, at_most=2**31 - 1, aliases="random_seed")
    """Seed of weights, latents and the order of images."""
    steps_per_call: int = flag(10, IF_ALLOWED, above=0, at_most=1e6)
    """Steps per call into the graph; must divide the intervals --log_every_steps,
    --sample_every_steps, --checkpoint_every_steps and --evaluate_every_steps."""
    log_every_steps: int = flag(100, IF_ALLOWED, above=0)
    """Steps between status lines."""
    sample_every_steps: int = flag(500, IF_ALLOWED, above=0)
    """Steps between grids of samples; the first ones come at steps 10, 25, 50 and 100."""
    checkpoint_every_steps: int = flag(500, IF_ALLOWED, above=0, aliases="save_every")
    """Steps between checkpoints."""
    keep_checkpoints: int = flag(3, FREELY, above=0, at_most=1e6)
    """Number of newest checkpoints to keep."""
    on_nan: str = flag("stop", FREELY, choices=gan_core.run.ON_NAN)
    """Action if a loss or a gradient is NaN or infinite, after saving the batch. stop: end;
    rollback: return to the newest checkpoint, and continue with other random numbers."""
    maximum_rollbacks: int = flag(3, FREELY, above=0, at_most=1e6)
    """Maximum number of rollbacks in a run."""
    allow_changes: bool = flag(False, EACH_START)
    """Resume with changed intervals, devices, precision, learning rates or clipping."""
    dry_run: bool = flag(False, EACH_START)
    """Check everything and print the plan, without training or writing to --workdir. Data are
    downloaded and decoded where necessary."""
    num_images: int = flag(64, EACH_START, above=0, at_most=1e8, aliases="images")
    """Number of pictures that --mode=generate makes."""
    checkpoint: str = flag("", EACH_START)
    """Checkpoint for --mode=generate and evaluate: best, newest, a step, or all (evaluate only).
    Empty for the best, or the newest if none was evaluated."""
    output: str = flag("", EACH_START, is_path=True, aliases="out out_dir outdir output_dir")
    """With --mode=generate, a .png file for one grid or a folder for single pictures;
    <workdir>/generated.png if empty. With --mode=evaluate, a .csv file; <workdir>/evaluation.csv if
    empty."""

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


def make_schedule(discriminator_updates: int) -> gan_core.Schedule:
    """One shared pass per step, or several discriminator updates and a generator update."""
    if discriminator_updates == 1:
        return gan_core.simultaneous()
    return gan_core.alternating(discriminator_updates)


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
