"""Quality of samples: distances, fidelity and diversity, classes, copies."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.evaluation.classes import (
        class_evenness,
        class_shares,
        classes_covered,
        confident_share,
        total_variation,
    )
    from gan_core.evaluation.classifier import Classifier, trained_classifier
    from gan_core.evaluation.copying import Copies, NearestGap, copies, nearest_gap
    from gan_core.evaluation.distances import (
        FeatureStatistics,
        KernelDistance,
        frechet_distance,
        kernel_distance,
    )
    from gan_core.evaluation.extractor import Extracted, Extractor
    from gan_core.evaluation.judge import Judge, JudgeSettings
    from gan_core.evaluation.manifolds import (
        DensityCoverage,
        PrecisionRecall,
        density_coverage,
        precision_recall,
    )
    from gan_core.evaluation.metrics import IN_TABLE, TITLES
    from gan_core.evaluation.neighbours import Nearest, nearest, neighbour_distances
    from gan_core.evaluation.network_file import inception_2015, model_file
    from gan_core.evaluation.protocol import Protocol, metric_name
    from gan_core.evaluation.unlabelled import random_convolutions

__all__ = [
    "IN_TABLE",
    "TITLES",
    "Classifier",
    "Copies",
    "DensityCoverage",
    "Extracted",
    "Extractor",
    "FeatureStatistics",
    "Judge",
    "JudgeSettings",
    "KernelDistance",
    "Nearest",
    "NearestGap",
    "PrecisionRecall",
    "Protocol",
    "class_evenness",
    "class_shares",
    "classes_covered",
    "confident_share",
    "copies",
    "density_coverage",
    "frechet_distance",
    "inception_2015",
    "kernel_distance",
    "metric_name",
    "model_file",
    "nearest",
    "nearest_gap",
    "neighbour_distances",
    "precision_recall",
    "random_convolutions",
    "total_variation",
    "trained_classifier",
]
