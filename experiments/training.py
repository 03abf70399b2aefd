"""`--mode=train`: one run in its folder, from wherever it stands to its last step."""

from __future__ import annotations

import contextlib
import sys
import zlib
from pathlib import Path

import tensorflow as tf

import gan_core
from experiments import exit_codes, parts, preflight, run_folder, startup
from experiments.experiment import Experiment
from experiments.run_outputs import RunOutputs, early_samples
from experiments.settings import Settings
from gan_core import ArgumentError

_CHECKPOINT_ATTEMPTS = 3
_PEER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class _StoppedError(Exception):
    """A signal asked for a stop, between two calls of steps."""


def run(experiment: Experiment, settings: Settings) -> int:
    """Trains, or goes on where the run in the workdir stopped; returns the exit code.

    Of several workers only the chief writes; what ends a run, a signal to any of them included,
    is agreed on between two calls of steps.
    """
    workdir = Path(settings.workdir)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = parts.make_strategy(settings)
    settings, precision_facts = parts.choose_precision(settings)
    gan = parts.build_gan(experiment, settings, strategy)
    startup.lap("networks")
    source = parts.open_source(settings, parts.image_shape(gan))
    startup.lap("data")
    run = _Run(experiment, settings, strategy, gan, source)
    with contextlib.ExitStack() as stack:
        if run.is_chief and not settings.dry_run:
            run_folder.make_folder("workdir", workdir)
            stack.enter_context(gan_core.run.RunLock(workdir))
        try:
            run.restore()
            run.say(
                f"{experiment.name} on {source.facts()} (limit {settings.memory_limit_gib:g} GiB)"
            )
            run.say(f"{parts.describe_strategy(settings, strategy)}, {precision_facts}")
            step = int(gan.step.numpy())
            run.say(f"from step {step:,} to {settings.total_steps:,}, workdir {workdir}")
            run.say(f"disk: {parts.describe_disk_use(gan, settings)}")
            if settings.dry_run:
                run.say("dry run: everything fits; nothing was trained or written")
                return exit_codes.DONE
            signals = stack.enter_context(gan_core.run.StopSignals(announce=run.say))
            return run.run(signals)
        except _PEER_LOST as error:
            if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
                raise
            cause = error.message.strip().splitlines()[0]
            print(
                f"error: another worker is gone ({cause}); start all of them again with the same "
                "command to go on from the newest checkpoint",
                file=sys.stderr,
            )
            return exit_codes.WORKER_GONE


class _Run:
    """The parts of one run, and what happens to them between the first step and the last."""

    def __init__(
        self,
        experiment: Experiment,
        settings: Settings,
        strategy: tf.distribute.Strategy,
        gan: gan_core.GanStep,
        source: gan_core.data.ImageSource,
    ):
        self.is_chief = gan_core.run.is_chief(strategy)
        self._settings = settings
        self._strategy = strategy
        self._gan = gan
        self._source = source
        self._workdir = Path(settings.workdir)
        self._caption = f"{experiment.name}, {source.name}"
        self._identity = {
            **preflight.identity_of(experiment),
            "data": source.name,
            "number of images": len(source.images),
        }
        self._checkpoints = gan_core.run.Checkpoints(
            self._workdir / "checkpoints", gan, settings.keep_checkpoints
        )
        self._restored: gan_core.run.Facts | None = None
        self._outputs: RunOutputs | None = None
        self._disk_error: OSError | None = None
        self._rollbacks = 0
        self._step_at_start: int | None = None

    def say(self, words: str) -> None:
        """Prints a line; workers other than the chief are silent."""
        if self.is_chief:
            gan_core.run.say(words)

    def restore(self) -> None:
        """Goes back to the newest good checkpoint, if there is one, together with all workers.

        Raises:
          ArgumentError: If it is of a run with other settings, or workers find different ones.
        """
        read_only = self._settings.dry_run or not self.is_chief
        if not self.is_chief:
            gan_core.run.sum_over_workers(self._strategy, [])
        self._restored = self._checkpoints.restore_latest(self._check_same_run, read_only=read_only)
        if self.is_chief:
            gan_core.run.sum_over_workers(self._strategy, [])
        parts.set_learning_rates(self._gan, self._settings)
        step = int(self._gan.step.numpy())
        run = zlib.crc32(repr((self._identity, self._settings.of_the_run())).encode())
        (total, runs), num_workers = gan_core.run.sum_over_workers(self._strategy, [step, run])
        if runs != run * num_workers:
            raise ArgumentError(
                "settings",
                "those of this worker",
                "must be those of all workers, and so must the data",
                "give all the same flags and the same images",
            )
        if total != step * num_workers:
            raise ArgumentError(
                "workdir",
                self._workdir,
                f"must be one folder that all workers share, but this one finds step {step} there "
                "and another one another",
                "put it on a shared file system",
            )

    def run(self, signals: gan_core.run.StopSignals) -> int:
        """Trains to the last step, or until a signal, a full disk or a NaN; the exit code."""
        settings = self._settings
        step = int(self._gan.step.numpy())
        if self._restored and step >= settings.total_steps:
            self.say(
                f"nothing to do: step {step:,} is reached; to go on give a larger --total_steps"
            )
            return exit_codes.DONE
        try:
            while not self._train_or_roll_back(signals):
                pass
        except _StoppedError:
            step = int(self._gan.step.numpy())
            self.say(f"saved at step {step:,}; run the same command to go on")
            return exit_codes.STOPPED
        except OSError as error:
            print(f"error: {self._explain_disk(error)}", file=sys.stderr)
            return exit_codes.CANNOT_WRITE
        except gan_core.run.NotFiniteError as error:
            remedy = "try lower learning rates"
            if settings.on_nan == "stop":
                remedy += ", or --on_nan=rollback"
            print(f"error: {error}; {remedy}", file=sys.stderr)
            return exit_codes.NOT_FINITE
        self.say(
            f"done: step {settings.total_steps:,}; look at {self._workdir}/samples and "
            f"{self._workdir}/curves.png"
        )
        return exit_codes.DONE

    def _train_or_roll_back(self, signals: gan_core.run.StopSignals) -> bool:
        """Whether the last step is reached; otherwise the run is back at a checkpoint."""
        try:
            self._train(signals)
        except gan_core.run.NotFiniteError as error:
            # All workers are here: the metrics are sums over all of them.
            if self.is_chief:
                self.say(f"{error}; {self._outputs.save_diagnosis(error)}")
                try:
                    self._checkpoints.wait()
                except OSError as cannot:
                    self.say(f"the last checkpoint could not be written ({cannot})")
            self._rollbacks = max(self._rollbacks, int(self._gan.rollbacks.numpy())) + 1
            allowed = self._settings.on_nan == "rollback"
            if not allowed or self._rollbacks > self._settings.maximum_rollbacks:
                raise
            self.restore()
            self._gan.rollbacks.assign(self._rollbacks)
            self.say(
                f"rollback {self._rollbacks} of {self._settings.maximum_rollbacks}: goes on from "
                f"step {int(self._gan.step.numpy()):,} with other random numbers"
            )
            return False
        return True

    def _train(self, signals: gan_core.run.StopSignals) -> None:
        settings, gan = self._settings, self._gan
        with contextlib.ExitStack() as stack:
            hooks: list[gan_core.run.Hook] = []
            if self.is_chief:
                self._outputs = RunOutputs(
                    gan, self._source, settings, self._caption, self._checkpoints, self._restored
                )
                stack.enter_context(contextlib.closing(self._outputs))
                save = gan_core.run.KeepTrying("checkpoint", self._save, _CHECKPOINT_ATTEMPTS)
                hooks += self._outputs.hooks()
                hooks += [
                    gan_core.run.Every(settings.checkpoint_every_steps, self._unless_full(save))
                ]
                if settings.on_nan == "rollback" and not self._restored:
                    self._save(0, {})
            startup.lap("folder")
            self.say("compiling the training step (2 to 60 s)")
            # A run's first call is one step, to be seen soon. Only the chief has grids to draw, but
            # all workers end their calls where it does: they meet after each. Where calls end
            # depends on the step alone, not on where this process started: means over other calls
            # would be rounded differently.
            stops = [1, *early_samples(settings)]
            self._step_at_start = int(gan.step.numpy())
            gan_core.train(
                gan,
                parts.make_batches(gan, self._source, settings, self._strategy),
                total_steps=settings.total_steps,
                steps_per_call=settings.steps_per_call,
                schedule=parts.make_schedule(settings),
                hooks=[
                    self._say_first_step,
                    *hooks,
                    lambda step, metrics: self._stop_together(step, signals),
                ],
                stops=stops,
            )
            if self.is_chief:
                self.say("writing the last grid, the curves, the film and a checkpoint")
                # As it is before the last lines where those are off their grid: a run that goes on
                # from here writes the lines that it would have written without the end. Saved
                # after them: with the last checkpoint everything is there.
                facts = self._facts()
                self._outputs.write_last(settings.total_steps)
                self._checkpoints.save(facts)
                self._checkpoints.wait()

    def _say_first_step(self, step: int, metrics: gan_core.Metrics) -> None:
        if self._step_at_start is None:
            return
        num_steps, self._step_at_start = step - self._step_at_start, None
        if not self._rollbacks:
            startup.lap("compiling and the first call")
            self.say(startup.describe(num_steps))

    def _save(self, step: int, metrics: gan_core.Metrics) -> None:
        del step, metrics
        self._checkpoints.save(self._facts())

    def _facts(self) -> gan_core.run.Facts:
        settings = {"settings": self._settings.as_dict()}
        return self._identity | settings | {"outputs": self._outputs.state()}

    def _unless_full(self, save: gan_core.run.Hook) -> gan_core.run.Hook:
        """Keeps the error that ends the run until all workers can hear of it."""

        def hook(step: int, metrics: gan_core.Metrics) -> None:
            try:
                save(step, metrics)
            except OSError as error:
                self._disk_error = error

        return hook

    def _stop_together(self, step: int, signals: gan_core.run.StopSignals) -> None:
        """Stops all workers where one has been asked to, or the chief cannot write."""
        reasons = [signals.received is not None, self._disk_error is not None]
        (asked, full), _ = gan_core.run.sum_over_workers(self._strategy, [int(r) for r in reasons])
        if full:
            raise self._disk_error or OSError("the chief reports it")
        if asked and step < self._settings.total_steps:
            if self.is_chief:
                self._save_stopped(step)
            raise _StoppedError

    def _save_stopped(self, step: int) -> None:
        """Leaves the files that an end leaves; the checkpoint first: time may be short."""
        self.say("writing a checkpoint, the last grid, the curves and the film")
        self._save(step, {})
        self._checkpoints.wait()
        try:
            self._outputs.write_last(step)
        except OSError as error:
            self.say(f"the last grid, curves and film could not be written ({error})")

    def _check_same_run(self, facts: gan_core.run.Facts) -> None:
        """Raises `ArgumentError` with a list of what differs from the run in the workdir."""
        for change in preflight.check_same_run(self._identity, facts, self._settings):
            self.say(f"changed: {change}")

    def _explain_disk(self, error: OSError) -> str:
        paths = self._checkpoints.paths()
        newest = f"the newest checkpoint is {paths[-1]}" if paths else "there is no checkpoint yet"
        return f"cannot write ({error}); {newest}; make room and run the same command to go on"
