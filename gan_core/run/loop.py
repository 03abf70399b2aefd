"""The training loop: calls of several steps, then hooks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf

from gan_core.draw import range_error_in
from gan_core.errors import ArgumentError, check_divides, check_positive
from gan_core.gan import Gan
from gan_core.run.hooks import Every, Hook
from gan_core.types import Batch, Metrics
from gan_core.update_schedules import Schedule, simultaneous

StepLoop = Callable[[Iterator[Batch], tf.Tensor], tuple[Metrics, tf.Tensor, Metrics]]
"""(batches, number of steps) -> means, number of finite steps, metrics of the first other step."""

_MAXIMUM_METRICS = 64


class NotFiniteError(ArithmeticError):
    """A loss, another metric or a gradient was NaN or infinite.

    Attributes:
      step: The first step with such a value, counted from 1.
      metrics: That step's metrics by name; `<network>/gradient` is 0 if all gradients of the
        network are finite, and NaN otherwise.
      names: The names of the metrics that are not finite.
    """

    def __init__(self, step: int, metrics: dict[str, float]):
        self.step = step
        self.metrics = metrics
        self.names = [name for name, value in metrics.items() if not math.isfinite(value)]
        super().__init__(f"not finite at step {step:,}: {', '.join(self.names)}")


def train(
    gan: Gan,
    batches: Iterator[Batch],
    *,
    total_steps: int,
    steps_per_call: int = 1,
    schedule: Schedule | None = None,
    hooks: Iterable[Hook] = (),
    stops: Iterable[int] = (),
) -> None:
    """Trains until the step counter, which continues from its present value, is `total_steps`.

    Args:
      gan: The gan to train.
      batches: Distributed iterator over global batches, at the position of `gan.images_seen`, for
        example from `data.image_batches` or `data.distribute`.
      total_steps: Steps of the whole run, those before a restore included.
      steps_per_call: Steps in one call of a `tf.function`; hooks run between calls.
      schedule: The updates of one step; `simultaneous()` when None.
      hooks: Called in turn after each call as hook(step, metrics); metrics are the means over
        the call's steps, still on the device, and `data_wait_seconds` per step (not under op
        determinism, which refuses TensorFlow's clock). If one returns True, training ends once
        all have been called.
      stops: Further steps at which a call ends; each `Every.also_at` of a hook is added.

    Raises:
      ArgumentError: If `steps_per_call` is not positive or does not divide a hook's interval, if
        the batches do not fit the game, or if float images are out of range in the first.
      NotFiniteError: If a metric or a gradient was NaN or infinite in a step of a call; the hooks
        are not called, and the weights are unusable.
    """
    hooks = tuple(hooks)
    check_positive("steps_per_call", steps_per_call)
    stops = {*stops, *steps_due(hooks, steps_per_call)}
    run_steps = make_step_loop(gan, schedule or simultaneous())
    step = int(gan.step.numpy())
    while step < total_steps:
        # A step off the grid, for example from another `steps_per_call`, returns to it.
        on_the_grid = step - step % steps_per_call + steps_per_call
        stop = min([on_the_grid, total_steps, *(s for s in stops if s > step)])
        num_steps = stop - step
        try:
            metrics, finite_steps, failed = run_steps(batches, tf.constant(num_steps))
        except tf.errors.InvalidArgumentError as error:
            raise range_error_in(error) or error from error
        finite_steps = int(finite_steps)
        if finite_steps < num_steps:
            raise NotFiniteError(
                step + finite_steps + 1, {name: float(value) for name, value in failed.items()}
            )
        step += num_steps
        answers = [hook(step, metrics) for hook in hooks]
        if True in answers:
            return


def steps_due(hooks: Iterable[Hook], steps_per_call: int) -> set[int]:
    """The additional steps at which a call must end for a hook: each `Every.also_at`.

    Raises:
      ArgumentError: If `steps_per_call` does not divide a hook's interval.
    """
    due: set[int] = set()
    for hook in hooks:
        if isinstance(hook, Every):
            check_divides("steps_per_call", steps_per_call, "every_steps", hook.every_steps)
            due.update(hook.also_at)
    return due


def make_step_loop(gan: Gan, schedule: Schedule) -> StepLoop:
    """A `tf.function` of (batches, num_steps) that runs `num_steps` steps.

    It returns the means of their metrics, the number of steps before the first one with a metric
    that is not finite, and that step's metrics. Later steps still run: to stop there, the host
    would have to check after each step.

    The names of the metrics are known only after a step is traced, but the loop's variables need
    their shapes before: so the sums have spare room. Tracing a step twice to learn the names would
    double the start-up time.
    """
    names: list[str] = []
    has_clock = _has_clock()

    def run_steps(
        batches: Iterator[Batch], num_steps: tf.Tensor
    ) -> tuple[Metrics, tf.Tensor, Metrics]:
        def body(
            done: tf.Tensor, sums: tf.Tensor, failed: tf.Tensor, finite_steps: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            values = _run_step(gan, schedule, batches, has_clock, names)
            failed_before = ~tf.reduce_all(tf.math.is_finite(failed))
            failed = tf.where(failed_before, failed, values)
            failed_now = ~tf.reduce_all(tf.math.is_finite(failed))
            return done + 1, sums + values, failed, finite_steps + tf.cast(~failed_now, tf.int32)

        _, sums, failed, finite_steps = tf.while_loop(
            lambda done, *_: done < num_steps,
            body,
            (0, tf.zeros([_MAXIMUM_METRICS]), tf.zeros([_MAXIMUM_METRICS]), 0),
            # One iteration at a time, so that the clock reads waiting, not computing.
            parallel_iterations=1,
        )
        means = tf.unstack(sums / tf.cast(num_steps, tf.float32))
        return (
            dict(zip(names, means, strict=False)),
            finite_steps,
            dict(zip(names, tf.unstack(failed), strict=False)),
        )

    # AutoGraph would take twice as long to read the engine as tracing takes.
    compiled: StepLoop = tf.function(run_steps, reduce_retracing=True, autograph=False)
    return compiled


def _run_step(
    gan: Gan, schedule: Schedule, batches: Iterator[Batch], has_clock: bool, names: list[str]
) -> tf.Tensor:
    """One step: its metrics, padded to the size of the sums; sets `names` to theirs."""
    timed = _TimedIterator(batches, after=gan.step.read_value()) if has_clock else None
    metrics = _checked_metrics(schedule(gan, timed or batches))
    if timed:
        metrics |= {"data_wait_seconds": timed.waited_seconds()}
    names[:] = metrics
    values = tf.stack([tf.cast(metrics[name], tf.float32) for name in names])
    with tf.control_dependencies(_stateful_operations_so_far()):
        gan.end_step()
    return tf.pad(values, [[0, _MAXIMUM_METRICS - len(names)]])


def _checked_metrics(metrics: Metrics) -> Metrics:
    """A copy of a schedule's metrics; raises `ArgumentError` if they are not valid."""
    if not isinstance(metrics, dict):
        raise ArgumentError(
            "schedule",
            f"returns {type(metrics).__name__}",
            "must return the metrics of its updates",
            "return gan.update_both(next(batches)), for example",
        )
    if len(metrics) >= _MAXIMUM_METRICS:
        raise ArgumentError(
            "metrics",
            len(metrics),
            f"must be fewer than {_MAXIMUM_METRICS}",
            "observe fewer values",
        )
    return dict(metrics)


def _has_clock() -> bool:
    """True if TensorFlow's clock can be read; op determinism refuses it."""
    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        return False
    return True


class _TimedIterator(Iterator[Batch]):
    """An iterator that measures, inside the graph, how long each batch was waited for.

    A batch is requested only after everything traced before it and the previous step are done, and
    passed on only after the clock has been read: otherwise the clock would include work that the
    executor runs meanwhile. The overhead is too small to measure.
    """

    def __init__(self, batches: Iterator[Batch], after: tf.Tensor):
        self._batches = batches
        self._after = after
        self._waits: list[tf.Tensor] = []

    def __next__(self) -> Batch:
        with tf.control_dependencies([self._after, *_stateful_operations_so_far()]):
            before = tf.timestamp()
        with tf.control_dependencies([before]):
            batch = next(self._batches)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            arrival = tf.timestamp()
        self._waits.append(arrival - before)
        with tf.control_dependencies([arrival]):
            here: Batch = tf.nest.map_structure(_identity_in_place, batch, expand_composites=True)
        return here

    def waited_seconds(self) -> tf.Tensor:
        return tf.cast(tf.add_n(self._waits), tf.float32)


def _identity_in_place(tensor: tf.Tensor) -> tf.Tensor:
    with tf.device(tensor.device or None):
        return tf.identity(tensor)


def _stateful_operations_so_far() -> list[tf.Operation]:
    operations = tf.compat.v1.get_default_graph().get_operations()
    return [operation for operation in operations if operation.op_def.is_stateful]
