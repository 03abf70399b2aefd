"""Quality of samples: distances, fidelity and diversity, classes, copies."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from gan_core.evaluation.classes import class_evenness as class_evenness
    from gan_core.evaluation.classes import class_shares as class_shares
    from gan_core.evaluation.classes import classes_covered as classes_covered
    from gan_core.evaluation.classes import confident_share as confident_share
    from gan_core.evaluation.classes import total_variation as total_variation
    from gan_core.evaluation.classifier import Classifier as Classifier
    from gan_core.evaluation.classifier import trained_classifier as trained_classifier
    from gan_core.evaluation.copying import Copies as Copies
    from gan_core.evaluation.copying import NearestGap as NearestGap
    from gan_core.evaluation.copying import copies as copies
    from gan_core.evaluation.copying import nearest_gap as nearest_gap
    from gan_core.evaluation.distances import FeatureStatistics as FeatureStatistics
    from gan_core.evaluation.distances import KernelDistance as KernelDistance
    from gan_core.evaluation.distances import frechet_distance as frechet_distance
    from gan_core.evaluation.distances import kernel_distance as kernel_distance
    from gan_core.evaluation.extractor import Extracted as Extracted
    from gan_core.evaluation.extractor import Extractor as Extractor
    from gan_core.evaluation.judge import Judge as Judge
    from gan_core.evaluation.judge import JudgeSettings as JudgeSettings
    from gan_core.evaluation.manifolds import DensityCoverage as DensityCoverage
    from gan_core.evaluation.manifolds import PrecisionRecall as PrecisionRecall
    from gan_core.evaluation.manifolds import density_coverage as density_coverage
    from gan_core.evaluation.manifolds import precision_recall as precision_recall
    from gan_core.evaluation.metrics import IN_TABLE as IN_TABLE
    from gan_core.evaluation.metrics import TITLES as TITLES
    from gan_core.evaluation.neighbours import Nearest as Nearest
    from gan_core.evaluation.neighbours import nearest as nearest
    from gan_core.evaluation.neighbours import neighbour_distances as neighbour_distances
    from gan_core.evaluation.network_file import inception_2015 as inception_2015
    from gan_core.evaluation.network_file import model_file as model_file
    from gan_core.evaluation.protocol import Protocol as Protocol
    from gan_core.evaluation.protocol import metric_name as metric_name
    from gan_core.evaluation.unlabelled import random_convolutions as random_convolutions
