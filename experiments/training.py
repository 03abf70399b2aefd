"""`--mode=train`: one run in its folder, from wherever it stands to its last step."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import gan_core
from experiments import flags, parts, run_folder
from experiments.experiment import Experiment
from experiments.flags import Settings
from gan_core import ArgumentError

NOT_FINITE_EXIT_CODE = 70
CANNOT_WRITE_EXIT_CODE = 74
STOPPED_EXIT_CODE = 75
_CHECKPOINT_ATTEMPTS = 3
_GRID_COLUMNS = 8
_GRID_WIDTH = 1024


class _StoppedError(Exception):
    """A signal asked for a stop, between two calls of steps."""


def train(experiment: Experiment, settings: Settings) -> int:
    """Trains, or goes on where the run in the workdir stopped; returns the exit code."""
    workdir = Path(settings.workdir)
    run_folder.check_writable("workdir", workdir)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = parts.make_strategy(settings)
    settings, precision_facts = parts.choose_precision(settings)
    gan = parts.build_gan(experiment, settings, strategy)
    source = parts.open_source(settings, parts.image_shape(gan))
    with contextlib.ExitStack() as stack:
        if not settings.dry_run:
            run_folder.make_folder("workdir", workdir)
            stack.enter_context(gan_core.RunLock(workdir))
        run = _Run(experiment, settings, strategy, gan, source)
        restored = run.restore()
        step = int(gan.step.numpy())
        print(f"{experiment.name} on {source.facts()} (limit {settings.memory_limit_gib:g} GiB)")
        print(f"{gan_core.describe_strategy(strategy)}, {precision_facts}")
        print(f"from step {step:,} to {settings.total_steps:,}, workdir {workdir}", flush=True)
        if settings.dry_run:
            print("dry run: everything fits; nothing was trained, and the workdir is as it was")
            return 0
        if restored and step >= settings.total_steps:
            print(
                f"nothing to do: step {step:,} is reached; to go on give a larger --total_steps "
                "and --allow_changes"
            )
            return 0
        signals = stack.enter_context(gan_core.StopSignals())
        return run.run(signals)


class _Run:
    """The parts of one run, and what happens to them between the first step and the last."""

    def __init__(
        self,
        experiment: Experiment,
        settings: Settings,
        strategy: tf.distribute.Strategy,
        gan: gan_core.GanStep,
        source: gan_core.ImageSource,
    ):
        self._settings = settings
        self._strategy = strategy
        self._gan = gan
        self._source = source
        self._workdir = Path(settings.workdir)
        self._caption = f"{experiment.name}, {source.name}"
        self._identity = {
            "experiment": experiment.name,
            "data": source.name,
            "number of images": len(source.images),
            "latents": str(experiment.latents),
            "value range": list(experiment.value_range),
        }
        self._checkpoints = gan_core.Checkpoints(
            self._workdir / "checkpoints", gan, settings.keep_checkpoints
        )
        self._restored: gan_core.Facts | None = None
        self._window: gan_core.MetricsWindow | None = None
        self._rollbacks = 0

    def restore(self) -> gan_core.Facts | None:
        """Goes back to the newest good checkpoint; refuses one with other settings."""
        self._restored = self._checkpoints.restore_latest(
            self._check_same_run, read_only=self._settings.dry_run
        )
        parts.set_learning_rates(self._gan, self._settings)
        return self._restored

    def run(self, signals: gan_core.StopSignals) -> int:
        """Trains to the last step, or until a signal, a full disk or a NaN; the exit code."""
        settings = self._settings
        try:
            if settings.on_nan == "rollback" and not self._restored:
                self._window = gan_core.MetricsWindow(self._gan, gan_core.Writer())
                self._save(0, {})
            while not self._train_or_roll_back(signals):
                pass
        except _StoppedError:
            step = int(self._gan.step.numpy())
            print(f"saved at step {step:,}; run the same command to go on", flush=True)
            return STOPPED_EXIT_CODE
        except OSError as error:
            print(f"error: {self._explain_disk(error)}", file=sys.stderr)
            return CANNOT_WRITE_EXIT_CODE
        except gan_core.NotFiniteError as error:
            remedy = "try lower learning rates"
            if settings.on_nan == "stop":
                remedy += ", or --on_nan=rollback"
            print(f"error: {error}; {remedy}", file=sys.stderr)
            return NOT_FINITE_EXIT_CODE
        print(
            f"done: step {settings.total_steps:,}; look at {self._workdir}/samples and "
            f"{self._workdir}/curves.png"
        )
        return 0

    def _train_or_roll_back(self, signals: gan_core.StopSignals) -> bool:
        """Whether the last step is reached; otherwise the run is back at a checkpoint."""
        try:
            self._train(signals)
        except gan_core.NotFiniteError as error:
            print(f"{error}; {self._save_diagnosis(error)}", flush=True)
            self._checkpoints.wait()
            self._rollbacks = max(self._rollbacks, int(self._gan.rollbacks.numpy())) + 1
            allowed = self._settings.on_nan == "rollback"
            if not allowed or self._rollbacks > self._settings.maximum_rollbacks:
                raise
            self.restore()
            self._gan.rollbacks.assign(self._rollbacks)
            step = int(self._gan.step.numpy())
            print(
                f"rollback {self._rollbacks} of {self._settings.maximum_rollbacks}: goes on from "
                f"step {step:,} with other random numbers"
            )
            return False
        return True

    def _train(self, signals: gan_core.StopSignals) -> None:
        settings, gan = self._settings, self._gan
        step = int(gan.step.numpy())
        status = gan_core.StatusWriter(settings.total_steps, step)
        with contextlib.closing(self._open_files(step, status)) as writer:
            window = gan_core.MetricsWindow(gan, writer, self._checkpoints)
            if self._restored:
                window.restore(self._restored["metrics_window"])
            self._window = window
            draw_samples = gan_core.SampleGrid(gan, writer, self._caption, self._num_grid_images())
            draw_curves = gan_core.CurvesPicture(self._workdir, self._caption)
            if step == 0:
                draw_samples(0, {})
            intervals = [
                (settings.log_every_steps, "metrics", window.write),
                (settings.sample_every_steps, "samples", draw_samples),
                (settings.sample_every_steps, "curves", draw_curves),
            ]
            every = [
                gan_core.Every(interval, gan_core.KeepTrying(name, hook))
                for interval, name, hook in intervals
            ]
            save = gan_core.KeepTrying("checkpoint", self._save, _CHECKPOINT_ATTEMPTS)
            print("Tracing the step (first call) ...", flush=True)
            gan_core.train(
                gan,
                parts.make_batches(gan, self._source, settings, self._strategy),
                total_steps=settings.total_steps,
                steps_per_call=settings.steps_per_call,
                schedule=parts.make_schedule(settings),
                hooks=[
                    window.add,
                    lambda step, metrics: status.advance(step),
                    *every,
                    gan_core.Every(settings.checkpoint_every_steps, save),
                    lambda step, metrics: self._stop_if_asked(step, signals),
                ],
            )
            step = settings.total_steps
            # Saved before the last lines where those are off their grid: a run that goes on from
            # here writes the lines that it would have written without the end.
            self._save(step, {})
            for interval, _, hook in intervals:
                if step % interval:
                    hook(step, {})
        run_folder.write_gif(self._workdir / "samples", self._workdir / "training.gif")
        self._checkpoints.wait()

    def _open_files(self, step: int, status: gan_core.Writer) -> gan_core.Writer:
        """The run's outputs, without what came after `step` or stands off the intervals."""
        settings = self._settings
        before = self._restored["settings"] if self._restored else settings.as_dict()
        last_line = step - step % before["log_every_steps"]
        last_picture = step - step % before["sample_every_steps"]
        gan_core.write_durably(
            self._workdir / "effective.flags", settings.as_flagfile().encode("utf-8")
        )
        run_folder.drop_samples_after(last_picture, self._workdir / "samples")
        self._write_reals()
        writer = gan_core.MultiWriter(
            [
                gan_core.JsonLinesWriter(self._workdir / "metrics.jsonl", last_line),
                gan_core.TensorBoardWriter(self._workdir / "tensorboard", last_line, last_picture),
                gan_core.PictureFilesWriter(self._workdir, self._caption),
                status,
            ]
        )
        if not self._restored:
            writer.write_settings({**settings.as_dict(), "data": self._source.facts()})
        return writer

    def _save(self, step: int, metrics: gan_core.Metrics) -> None:
        del step, metrics
        settings = {"settings": self._settings.as_dict()}
        window = {"metrics_window": self._window.state()}
        self._checkpoints.save(self._identity | settings | window)

    def _stop_if_asked(self, step: int, signals: gan_core.StopSignals) -> None:
        if signals.received is not None and step < self._settings.total_steps:
            self._save(step, {})
            self._checkpoints.wait()
            raise _StoppedError

    def _check_same_run(self, facts: gan_core.Facts) -> None:
        """Raises `ArgumentError` with a list of what differs from the run in the workdir."""
        other = [
            f"{name}: was {facts.get(name)}, now {value}"
            for name, value in self._identity.items()
            if facts.get(name) != value
        ]
        changes = self._settings.changes_from(facts["settings"])
        other += changes[flags.NEVER]
        allowed = changes[flags.IF_ALLOWED]
        if other:
            rule = f"holds a run with other settings ({'; '.join(other + allowed)})"
            remedy = "go on with the settings of the run, or start another in an empty folder"
            raise ArgumentError("workdir", self._workdir, rule, remedy)
        if allowed and not self._settings.allow_changes:
            rule = f"holds a run with other settings ({'; '.join(allowed)})"
            remedy = "go on with the settings of the run, or give --allow_changes"
            raise ArgumentError("workdir", self._workdir, rule, remedy)
        for change in allowed:
            print(f"changed: {change}")

    def _save_diagnosis(self, error: gan_core.NotFiniteError) -> str:
        """Saves the batch of a step that failed, and its metrics; says where."""
        settings = self._settings
        images_a_step = settings.global_batch_size * settings.discriminator_updates
        numbers = np.arange((error.step - 1) * images_a_step, error.step * images_a_step)
        batch = self._read_images(numbers)
        folder = self._workdir / "diagnosis"
        name = f"step_{error.step:07d}"
        try:
            folder.mkdir(exist_ok=True)
            np.savez(
                folder / f"{name}.npz", images=batch.images, labels=batch.labels, numbers=numbers
            )
            picture = gan_core.grid(batch.images.numpy()[: self._num_grid_images()])
            (folder / f"{name}.png").write_bytes(gan_core.png_bytes(picture, str(error)))
            (folder / f"{name}.json").write_text(json.dumps(error.metrics, indent=2) + "\n")
        except OSError as cannot:
            return f"the batch could not be saved ({cannot})"
        return f"the batch is in {folder}/{name}.npz"

    def _explain_disk(self, error: OSError) -> str:
        paths = self._checkpoints.paths()
        newest = f"the newest checkpoint is {paths[-1]}" if paths else "there is no checkpoint yet"
        return f"cannot write ({error}); {newest}; make room and run the same command to go on"

    def _write_reals(self) -> None:
        """The run's first images, as the discriminator gets them."""
        count = min(self._num_grid_images(), len(self._source.images))
        picture = gan_core.grid(self._read_images(np.arange(count)).images.numpy())
        picture = gan_core.with_caption(picture, f"{self._caption}, real images")
        gan_core.write_durably(
            self._workdir / "reals.png", gan_core.png_bytes(picture, self._caption)
        )

    def _read_images(self, numbers: np.ndarray) -> gan_core.Batch:
        return gan_core.read_images(
            self._source,
            tf.constant(numbers, tf.int64),
            seed=self._settings.seed,
            image_shape=parts.image_shape(self._gan),
            flip=self._settings.flip,
        )

    def _num_grid_images(self) -> int:
        """A square of 8x8, or of as many large images as fit into 1,024 pixels."""
        return min(_GRID_COLUMNS, max(1, _GRID_WIDTH // parts.image_shape(self._gan)[1])) ** 2
