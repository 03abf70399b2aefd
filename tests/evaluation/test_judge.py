"""The judge's values move the right way, and depend on their arguments alone."""

import numpy as np
import pytest
from digit_images import draw_digits

from gan_core.data import ImageSource
from gan_core.errors import ArgumentError
from gan_core.evaluation import (
    Extractor,
    Judge,
    JudgeSettings,
    frechet_distance,
    precision_recall,
    random_convolutions,
)
from gan_core.evaluation.extractor import Extracted

SETTINGS = JudgeSettings(num_samples=300, num_subsets=20)


def source(name, indices):
    return ImageSource(f"digits/{name}", *draw_digits(0, indices))


TRAIN, TEST = source("train", range(600)), source("test", range(600, 900))
GOOD, LABELS = draw_digits(0, range(900, 1600))


def of_blocks(calls=None):
    """Means over blocks, and classes by brightness: cheap features for tests."""

    def extract(images):
        if calls is not None:
            calls.append(len(images))
        blocks = images.reshape(-1, 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(len(images), -1)
        bright = (blocks.mean(axis=1) > 120).astype(np.float32)
        return Extracted(blocks.astype(np.float32) / 64, np.stack([bright, 1 - bright], 1))

    return Extractor(
        name="blocks", content_hash="1", image_shape=(32, 32, 3), extract_batch=extract
    )


def judge_in(folder, **arguments):
    given = {"test": TEST, "settings": SETTINGS} | arguments
    return Judge(of_blocks(), TRAIN, cache_dir=folder, **given)


def score(judge, samples):
    return {name.split("@")[0]: value for name, value in judge.score(samples).items()}


def test_values_are_the_metrics_with_those_of_reals_beside_them(tmp_path):
    judge = judge_in(tmp_path)
    found = score(judge, GOOD[:300])
    names = {
        "frechet_distance", "kernel_distance", "kernel_distance_standard_error", "precision",
        "recall", "density", "coverage", "classes_covered", "class_total_variation",
        "class_evenness", "confident_share", "copied_share",
    }  # fmt: skip
    own = {"nearest_distance", "nearest_gap", "nearest_gap_standard_error"}
    assert set(found) == names | own | {f"{name}_of_reals" for name in names}
    assert all(isinstance(value, float) for value in found.values())
    real, fake, test = (of_blocks().features(i) for i in (TRAIN.images, GOOD[:300], TEST.images))
    assert found["frechet_distance"] == pytest.approx(frechet_distance(real, fake), rel=1e-6)
    assert found["recall_of_reals"] == pytest.approx(precision_recall(real, test, 5).recall)
    assert judge.protocol.whole()["num_others"] == 300
    assert next(iter(judge.score(GOOD[:300]))) == judge.protocol.key("frechet_distance")


def test_what_is_worse_is_judged_worse(tmp_path):
    judge = judge_in(tmp_path)
    good = score(judge, GOOD[:300])
    assert good["kernel_distance"] < 4 * good["kernel_distance_standard_error"]
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    dark = GOOD[GOOD.mean(axis=(1, 2, 3)) <= 120][:300]
    same = np.repeat(GOOD[:10], 30, axis=0)
    copied = np.concatenate([TRAIN.images[:150], GOOD[:150]])
    noisy, dark, same, copied = (score(judge, samples) for samples in (noisy, dark, same, copied))
    for worse in (noisy, dark, same):
        assert worse["frechet_distance"] > 1.5 * good["frechet_distance"]
        assert worse["kernel_distance"] > good["kernel_distance"] + 0.01
        assert worse["coverage"] < good["coverage"] - 0.1
    assert noisy["precision"] < good["precision"] - 0.1
    assert dark["recall"] < good["recall"] - 0.1
    assert (good["classes_covered"], dark["classes_covered"]) == (2, 1)
    assert dark["class_total_variation"] > good["class_total_variation"] + 0.2
    assert same["recall"] < 0.1
    assert abs(good["nearest_gap"]) < 3 * good["nearest_gap_standard_error"]
    assert copied["nearest_gap"] > 5 * copied["nearest_gap_standard_error"]
    assert copied["copied_share"] > good["copied_share"] + 0.2
    assert good["copied_share"] == pytest.approx(good["copied_share_of_reals"], abs=0.2)


def test_equal_arguments_give_equal_values_and_real_features_are_kept(tmp_path):
    np.random.seed(1)
    first = judge_in(tmp_path).score(GOOD[:300])
    np.random.seed(2)
    calls = []
    again = Judge(of_blocks(calls), TRAIN, TEST, settings=SETTINGS, cache_dir=tmp_path)
    assert again.score(GOOD[:300]) == first
    assert calls == [300]
    other = JudgeSettings(num_samples=300, num_subsets=20, seed=1, num_real=400)
    assert not set(judge_in(tmp_path, settings=other).score(GOOD[:300])) & set(first)


def test_without_test_images_training_images_are_compared_with_each_other(tmp_path):
    judge = judge_in(tmp_path, test=None)
    found = score(judge, GOOD[:300])
    assert judge.protocol.num_real == judge.protocol.num_others == 300
    assert judge.protocol.others == "train"
    assert "frechet_distance_of_reals" in found
    assert not {"nearest_gap", "copied_share_of_reals"} & set(found)
    all_of_them = JudgeSettings(num_samples=300, num_real=600)
    found = score(judge_in(tmp_path, test=None, settings=all_of_them), GOOD[:300])
    assert not any(name.endswith("_of_reals") for name in found)


def test_an_extractor_without_classes_gives_none(tmp_path):
    judge = Judge(
        random_convolutions(), TRAIN, settings=JudgeSettings(num_samples=60), cache_dir=tmp_path
    )
    assert not {"classes_covered", "class_total_variation"} & set(score(judge, GOOD[:60]))


def test_samples_stand_beside_their_nearest_training_images(tmp_path):
    samples = TRAIN.images[[5, 500, 77]]
    beside = judge_in(tmp_path).beside_nearest(samples)
    np.testing.assert_array_equal(beside, np.repeat(samples, 2, axis=0))


def test_too_few_images_to_compare_with_are_refused_before_any_sample_is_made(tmp_path):
    few = source("test", range(3))
    with pytest.raises(ArgumentError, match=r"`test` \(3 images\) must be 4 or more"):
        judge_in(tmp_path, test=few)
    score(judge_in(tmp_path, test=source("test", range(4))), GOOD[:300])


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="`num_samples` of the training images' shape"):
        judge_in(tmp_path).score(GOOD[:299])
    with pytest.raises(ArgumentError, match="leave out `num_real`"):
        judge_in(tmp_path, settings=JudgeSettings(num_real=601))
    with pytest.raises(ArgumentError, match="`k` \\(5\\)"):
        JudgeSettings(num_samples=5)
    small = ImageSource("small", np.zeros((9, 8, 8, 3), np.uint8), np.zeros(9, np.int64))
    with pytest.raises(ArgumentError, match="`train`'s shape"):
        judge_in(tmp_path, test=small)
