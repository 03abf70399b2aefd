"""A run and its folder: the loop and its hooks, checkpoints, logs, pictures, signals, locks."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.choices import ON_COLLAPSE, ON_NAN, STRATEGIES
    from gan_core.files import (
        check_names,
        check_writable,
        make_folder,
        nearest_existing,
        write_durably,
    )
    from gan_core.run.checkpoint_files import (
        Facts,
        best_of,
        find_checkpoint,
        newest_facts,
        newest_undamaged,
        read_facts,
        step_of,
        step_paths,
    )
    from gan_core.run.checkpoints import Checkpoints
    from gan_core.run.evaluator import Evaluation
    from gan_core.run.hooks import (
        CurvesPicture,
        Every,
        Hook,
        KeepTrying,
        MetricsWindow,
        SampleGrid,
    )
    from gan_core.run.loop import NotFiniteError, make_step_loop
    from gan_core.run.pictures import (
        curves_png,
        gif_bytes,
        grid,
        png_bytes,
        read_metrics,
        with_caption,
    )
    from gan_core.run.plan import Ending, Outcome, Plan
    from gan_core.run.process import (
        RunLock,
        StopSignals,
        peak_resident_gib,
        resident_gib,
        startup_clock,
    )
    from gan_core.run.program import Program
    from gan_core.run.record import EvaluationRecord, RunRecord, differences
    from gan_core.run.run import Run
    from gan_core.run.run_data import SourceData
    from gan_core.run.samples import (
        MakePicture,
        generate_sample_batches,
        generate_samples,
        samples_by_class,
        samples_of,
    )
    from gan_core.run.status_line import StatusWriter, duration, say
    from gan_core.run.waiting import wait_for_workers
    from gan_core.run.writers import (
        JsonLinesWriter,
        MultiWriter,
        PictureFilesWriter,
        TensorBoardWriter,
        Writer,
    )
    from gan_core.strategies import (
        describe_strategy,
        is_chief,
        make_virtual_devices,
        per_replica_batch_size,
        sum_over_workers,
    )

__all__ = [
    "ON_COLLAPSE",
    "ON_NAN",
    "STRATEGIES",
    "Checkpoints",
    "CurvesPicture",
    "Ending",
    "Evaluation",
    "EvaluationRecord",
    "Every",
    "Facts",
    "Hook",
    "JsonLinesWriter",
    "KeepTrying",
    "MakePicture",
    "MetricsWindow",
    "MultiWriter",
    "NotFiniteError",
    "Outcome",
    "PictureFilesWriter",
    "Plan",
    "Program",
    "Run",
    "RunLock",
    "RunRecord",
    "SampleGrid",
    "SourceData",
    "StatusWriter",
    "StopSignals",
    "TensorBoardWriter",
    "Writer",
    "best_of",
    "check_names",
    "check_writable",
    "curves_png",
    "describe_strategy",
    "differences",
    "duration",
    "find_checkpoint",
    "generate_sample_batches",
    "generate_samples",
    "gif_bytes",
    "grid",
    "is_chief",
    "make_folder",
    "make_step_loop",
    "make_virtual_devices",
    "nearest_existing",
    "newest_facts",
    "newest_undamaged",
    "peak_resident_gib",
    "per_replica_batch_size",
    "png_bytes",
    "read_facts",
    "read_metrics",
    "resident_gib",
    "samples_by_class",
    "samples_of",
    "say",
    "startup_clock",
    "step_of",
    "step_paths",
    "sum_over_workers",
    "wait_for_workers",
    "with_caption",
    "write_durably",
]
