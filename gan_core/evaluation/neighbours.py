"""Exact nearest-neighbour distances between examples, and counts of points in balls.

All pairs are computed, in blocks of rows that take 64 MiB or less in addition to the features in
float64. Squared distances are sums of squares minus a product, so those of equal examples are
rounding errors; values below 1e-12 of the sums of squares around the mean count as 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gan_core.errors import ArgumentError
from gan_core.evaluation.extractor import checked_features, checked_pair

_BLOCK_BYTES = 2**24
_ROUNDING = 1e-12
_TIES = 1.0 + 1e-9


def neighbour_distances(features: np.ndarray, k: int) -> np.ndarray:
    """The distance of each example to its k-th nearest other example.

    Duplicates are neighbours at distance 0.

    Args:
      features: [N, D].
      k: Neighbour rank, 1 or more and below N.

    Returns:
      Float64 [N].

    Raises:
      ArgumentError: If there are `k` examples or fewer.
    """
    check_neighbours(k, len(features))
    features = checked_features("features", features)
    squares = np.empty(len(features))
    for rows, block, rounding in _squared_distances(features, features):
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
        block.partition(k - 1, axis=1)
        squares[rows] = _without_rounding(block[:, k - 1], rounding)
    return np.sqrt(squares)


def check_neighbours(k: int, num_examples: int) -> None:
    """Raises `ArgumentError` unless each example has `k` others."""
    if not 1 <= k < num_examples:
        raise ArgumentError(
            "k",
            k,
            f"must be 1 or more and below the number of examples ({num_examples})",
            f"use {min(5, num_examples - 1)}, or more images"
            if num_examples > 1
            else "give more images",
        )


class Nearest(NamedTuple):
    """The nearest examples of another set.

    Attributes:
      distances: Float64 [N].
      indices: Int64 [N], numbers of the nearest examples in the other set; ties are arbitrary.
      second_distances: Float64 [N], distances to the second nearest.
    """

    distances: np.ndarray
    indices: np.ndarray
    second_distances: np.ndarray


def nearest(points: np.ndarray, candidates: np.ndarray) -> Nearest:
    """The nearest of `candidates` [M, D], M of 2 or more, for each of `points` [N, D]."""
    points, candidates = checked_pair(points, candidates, ("points", "candidates"))
    first, second = np.empty(len(points)), np.empty(len(points))
    indices = np.empty(len(points), np.int64)
    for rows, block, rounding in _squared_distances(points, candidates):
        places = np.arange(len(block)), block.argmin(axis=1)
        indices[rows] = places[1]
        first[rows] = _without_rounding(block[places], rounding)
        block[places] = np.inf
        second[rows] = _without_rounding(block.min(axis=1), rounding)
    return Nearest(np.sqrt(first), indices, np.sqrt(second))


def nearest_others(features: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Distances from the examples numbered `indices` [M] to their nearest others: float64 [M]."""
    features = checked_features("features", features)
    squares = np.empty(len(indices))
    for rows, block, rounding in _squared_distances(features[indices], features):
        block[np.arange(len(block)), indices[rows]] = np.inf
        squares[rows] = _without_rounding(block.min(axis=1), rounding)
    return np.sqrt(squares)


class BallCounts(NamedTuple):
    """Numbers of points in balls; a point on a ball's surface is in the ball.

    Attributes:
      balls_of_point: Int64 [N], number of balls that contain each point.
      points_in_ball: Int64 [M], number of points in each ball.
    """

    balls_of_point: np.ndarray
    points_in_ball: np.ndarray


def ball_counts(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> BallCounts:
    """Counts `points` [N, D] in balls of `radii` [M] around `centres` [M, D]."""
    points, centres = checked_pair(points, centres, ("points", "centres"))
    squared_radii = radii**2 * _TIES
    of_point, in_ball = np.empty(len(points), np.int64), np.zeros(len(centres), np.int64)
    for rows, block, rounding in _squared_distances(points, centres):
        inside = block <= np.maximum(squared_radii, rounding)
        of_point[rows] = inside.sum(axis=1)
        in_ball += inside.sum(axis=0)
    return BallCounts(of_point, in_ball)


def _squared_distances(
    points: np.ndarray, others: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, float]]:
    """Blocks of rows of the matrix of squared distances, which the caller may overwrite.

    Each comes with its rows, and with the threshold below which values are rounding errors.
    """
    # Centred values have small sums of squares, and so little cancellation in the difference.
    middle = others.mean(axis=0)
    others = others - middle
    other_squares = np.einsum("nd,nd->n", others, others)
    largest = other_squares.max()
    others *= -2.0
    # One product is the whole distance: (-2 b, |b|^2, 1) . (a, 1, |a|^2) = |a - b|^2.
    others = np.column_stack([others, other_squares, np.ones(len(others))])
    num_rows = max(1, _BLOCK_BYTES // (8 * len(others)))
    for start in range(0, len(points), num_rows):
        rows = slice(start, min(start + num_rows, len(points)))
        some = points[rows] - middle
        squares = np.einsum("nd,nd->n", some, some)
        some = np.column_stack([some, np.ones(len(some)), squares])
        yield rows, some @ others.T, _ROUNDING * (squares.max() + largest)


def _without_rounding(squares: np.ndarray, rounding: float) -> np.ndarray:
    return np.where(squares < rounding, 0.0, squares)
