"""k-means in one dimension."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 200


def kmeans(values: NDArray[np.float64], clusters: int, *, pinned: bool = False) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Lloyd's algorithm from centroids that stand evenly from the smallest to the largest value.

    A centroid that is left without members, as those near zero are among pruned weights, goes where the error is largest.
    Source: Deep Compression, arXiv:1510.00149, sections 3.1 and 3.2 (linear initialisation keeps the few large weights apart).

    Args:
        values: (n,), at least one.
        clusters: the most that there may be.
        pinned: the first and the last centroid stay where they are.

    Returns:
        The centroids that have members, rising (k,), and which one each value belongs to (n,).
    """
    distinct = np.unique(values)
    if len(distinct) <= clusters and not pinned:
        return distinct, np.searchsorted(distinct, values)
    order = np.sort(values)
    centroids = np.linspace(order[0], order[-1], clusters) if clusters > 1 else np.array([order.mean()])
    for _ in range(_ROUNDS):
        edges = np.searchsorted(order, (centroids[1:] + centroids[:-1]) / 2)
        parts = np.split(order, edges)
        moved = np.array([part.mean() if len(part) else old for part, old in zip(parts, centroids, strict=True)])
        if pinned:
            moved[0], moved[-1] = centroids[0], centroids[-1]
        empty = [i for i, part in enumerate(parts) if not len(part) and not (pinned and i in (0, clusters - 1))]
        if empty:
            moved = _reseeded(parts, moved, empty[0])
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    labels = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
    used, labels = np.unique(labels, return_inverse=True)
    return centroids[used], labels


def _reseeded(parts: list[NDArray[np.float64]], centroids: NDArray[np.float64], empty: int) -> NDArray[np.float64]:
    """The centroids, with one that has no members put where a member lies furthest from the centroid of the largest error."""
    errors = np.array([np.square(part - old).sum() for part, old in zip(parts, centroids, strict=True)])
    worst = int(errors.argmax())
    if errors[worst] <= 0:
        return centroids
    ends = parts[worst][[0, -1]]
    return np.sort(np.append(np.delete(centroids, empty), ends[np.abs(ends - centroids[worst]).argmax()]))
