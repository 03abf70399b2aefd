"""Hooks: functions called between calls of steps; those that a run uses are here too."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from gan_core.errors import check_positive
from gan_core.files import write_durably
from gan_core.gan import Gan
from gan_core.run.checkpoints import Checkpoints
from gan_core.run.pictures import curves_png, read_metrics, with_caption
from gan_core.run.process import resident_gib
from gan_core.run.record import SecondsLedger, WindowRecord
from gan_core.run.samples import MakePicture, samples_of_latents
from gan_core.run.writers import Writer
from gan_core.types import DISCRIMINATOR, GENERATOR, Metrics, gradient_check

Hook = Callable[[int, Metrics], bool | None]
"""Called as hook(step, metrics) after each call of steps; one that returns True ends training."""

_WAIT = "data_wait_seconds"
_CHECKS = {gradient_check(GENERATOR), gradient_check(DISCRIMINATOR)}


@dataclasses.dataclass(frozen=True)
class Every:
    """A hook that calls another at the multiples of `every_steps`, and at the steps `also_at`.

    `train` ends a call of steps at each of them, so that none is skipped.

    Raises:
      ArgumentError: If `every_steps` is not above 0.
    """

    every_steps: int
    hook: Hook
    also_at: Sequence[int] = ()

    def __post_init__(self) -> None:
        check_positive("every_steps", self.every_steps)

    def __call__(self, step: int, metrics: Metrics) -> bool | None:
        """Calls the hook if it is due."""
        return self.hook(step, metrics) if self.is_due(step) else None

    def is_due(self, step: int) -> bool:
        """True if the hook is called at `step`."""
        return step % self.every_steps == 0 or step in self.also_at

    def last_due(self, step: int) -> int:
        """The last step up to `step` at which the hook is called; 0 if there is none."""
        early = [due for due in self.also_at if due <= step]
        return max([step - step % self.every_steps, *early])


class KeepTrying:
    """A hook that calls another, which writes; a failed write is a warning, and training continues.

    Args:
      name: Name of what is written, for people.
      hook: Raises `OSError` if it cannot write.
      attempts: Number of consecutive failures after which the error is raised; never when None.
    """

    def __init__(self, name: str, hook: Hook, attempts: int | None = None):
        self._name = name
        self._hook = hook
        self._attempts = attempts
        self._failures = 0

    def __call__(self, step: int, metrics: Metrics) -> None:
        """Calls the hook."""
        try:
            self._hook(step, metrics)
        except OSError as error:
            self._failures += 1
            if self._failures == self._attempts:
                raise
            warnings.warn(
                f"step {step:,}: {self._name} cannot be written ({error}); training continues, and "
                "the write is tried again next time",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            self._failures = 0


class MetricsWindow:
    """Collects the metrics of each call, and writes their means since the last line.

    Call `add` after every call of steps and `write` at an interval. In addition to the means it
    writes `images_seen`, `images_per_sec`, `steps_per_sec`, `data_wait` (share of the time, 0 to 1;
    not under op determinism, which refuses TensorFlow's clock), `seconds` of the whole run,
    `checkpoint_pause` (seconds since the last line) and `memory_gib`. The rates exclude the first
    call, in which TensorFlow traces and optimises the graph. `record` and `restore` carry what is
    collected over a stop between two lines.

    Args:
      gan: The gan that is trained.
      writer: Receives the means.
      checkpoints: Their pauses are written; none when None.
      ledger: Counts the run's seconds; a new one when None.
      clock: Seconds from any origin.
    """

    def __init__(
        self,
        gan: Gan,
        writer: Writer,
        checkpoints: Checkpoints | None = None,
        ledger: SecondsLedger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._gan = gan
        self._writer = writer
        self._checkpoints = checkpoints
        self._ledger = ledger or SecondsLedger(clock=clock).start()
        self._clock = clock
        self._last_step = int(gan.step.numpy())
        self._window_start_step = self._last_step
        self._pause_before = checkpoints.pause_seconds if checkpoints else 0.0
        self._sums: Metrics = {}
        self._notes: dict[str, float] = {}
        self._waited: tf.Tensor | float | None = None
        self._rate_start: tuple[float, int, int] | None = None

    def record(self) -> WindowRecord:
        """The metrics collected since the last line: exact, without the waiting time."""
        sums = {name: float(total) for name, total in self._sums.items()}
        return WindowRecord(self._window_start_step, sums, dict(self._notes))

    def restore(self, record: WindowRecord) -> None:
        """Continues from a `record` that was saved at the present step."""
        self._window_start_step = record.start_step
        self._sums = {name: tf.constant(total) for name, total in record.sums.items()}
        self._notes = dict(record.notes)

    def note(self, values: Mapping[str, float], pause_seconds: float = 0.0) -> None:
        """Adds values to the next line, and excludes `pause_seconds` before now from its rates.

        Of several values of one name the last is written; of seconds their sum.
        """
        earlier = {name: v for name, v in self._notes.items() if name.endswith("/seconds")}
        sums = {name: v + values[name] for name, v in earlier.items() if name in values}
        self._notes |= {**values, **sums}
        if self._rate_start:
            start, step, images_seen = self._rate_start
            self._rate_start = (start + pause_seconds, step, images_seen)

    def add(self, step: int, metrics: Metrics) -> None:
        """Adds a call's metrics, on the device, without waiting for the call to finish."""
        num_steps = float(step - self._last_step)
        self._last_step = step
        for name, mean in metrics.items():
            if name == _WAIT:
                self._waited = (self._waited or 0.0) + mean * num_steps
            elif name not in _CHECKS:
                self._sums[name] = self._sums.get(name, 0.0) + mean * num_steps
        if self._rate_start is None:
            tf.nest.map_structure(lambda mean: mean.numpy(), metrics)
            self._start_rate()

    def write(self, step: int, metrics: Metrics) -> None:
        """Writes the means since the last line, and starts a new window."""
        del metrics
        num_steps = step - self._window_start_step
        means = {name: float(total) / num_steps for name, total in self._sums.items()}
        images_seen = int(self._gan.images_seen.numpy())
        now = self._clock()
        timing = {"images_seen": images_seen, "seconds": self._ledger.now().total}
        start, start_step, start_images = self._rate_start or (now, step, images_seen)
        if step > start_step:
            duration = max(now - start, 1e-9)
            timing["images_per_sec"] = (images_seen - start_images) / duration
            timing["steps_per_sec"] = (step - start_step) / duration
            if self._waited is not None:
                timing["data_wait"] = float(self._waited) / duration
        if self._checkpoints:
            timing["checkpoint_pause"] = self._checkpoints.pause_seconds - self._pause_before
            self._pause_before = self._checkpoints.pause_seconds
        timing["memory_gib"] = resident_gib()
        self._window_start_step = step
        notes, self._notes = self._notes, {}
        self._sums = {}
        self._start_rate()
        self._writer.write_scalars(step, timing | means | notes)

    def _start_rate(self) -> None:
        images_seen = int(self._gan.images_seen.numpy())
        self._waited = None
        self._rate_start = (self._clock(), self._last_step, images_seen)


class SampleGrid:
    """A hook that shows what the generator makes of the same latents each time.

    Args:
      gan: The gan that is trained.
      writer: Receives the pictures, as `samples`.
      caption: Text below each picture; the step is added to it.
      num_images: Number of images, in a square.
      make_picture: Makes another picture instead, for example `samples_by_class(gan, 10)`.

    Raises:
      ArgumentError: If the gan has no latents, and no other picture is given.
    """

    def __init__(
        self,
        gan: Gan,
        writer: Writer,
        caption: str,
        num_images: int = 64,
        make_picture: MakePicture | None = None,
    ):
        self._writer = writer
        self._caption = caption
        self._make_picture = make_picture or samples_of_latents(gan, num_images)

    def __call__(self, step: int, metrics: Metrics) -> None:
        """Writes one grid."""
        del metrics
        picture = with_caption(self._make_picture(), f"{self._caption}, step {step:,}")
        self._writer.write_picture(step, "samples", picture)


class CurvesPicture:
    """A hook that draws the curves of the run so far: `curves.png` from `metrics.jsonl`.

    Args:
      workdir: The run's folder, which holds both.
      title: Text above the curves.
    """

    def __init__(self, workdir: Path, title: str):
        self._workdir = workdir
        self._title = title

    def __call__(self, step: int, metrics: Metrics) -> None:
        """Writes the picture."""
        del step, metrics
        lines = read_metrics(self._workdir / "metrics.jsonl")
        write_durably(self._workdir / "curves.png", curves_png(lines, self._title))
