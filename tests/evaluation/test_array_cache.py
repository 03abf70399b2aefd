"""Arrays are computed once, and a damaged file is named."""

import numpy as np
import pytest

from gan_core.errors import ArgumentError
from gan_core.evaluation.array_cache import cached_arrays


def test_they_are_computed_once(tmp_path):
    path = tmp_path / "deep" / "arrays.npz"
    first = cached_arrays(path, lambda: {"a": np.arange(3), "b": np.float64(0.5)})
    again = cached_arrays(path, lambda: pytest.fail("computed again"))
    np.testing.assert_array_equal(again["a"], first["a"])
    assert float(again["b"]) == 0.5
    assert [file.name for file in path.parent.iterdir()] == ["arrays.npz"]


def test_of_two_that_compute_at_a_time_the_first_is_kept(tmp_path):
    path = tmp_path / "a" / "values.npz"

    def slow():
        cached_arrays(path, lambda: {"values": np.array([1, 2])})
        return {"values": np.array([3, 4])}

    assert list(cached_arrays(path, slow)["values"]) == [1, 2]
    assert [file.name for file in path.parent.iterdir()] == ["values.npz"]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "arrays.npz"
    cached_arrays(path, lambda: {"a": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ArgumentError, match=r"arrays\.npz.*remove that file"):
        cached_arrays(path, lambda: {})


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be written to"):
        cached_arrays(tmp_path / "file" / "arrays.npz", lambda: {"a": np.arange(3)})
