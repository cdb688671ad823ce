"""Which channels go: the lowest scores, within groups or over all, as far as every layer keeps one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.criteria.table import Scores, normalised
from edgekit.compress.prune.groups import Group
from edgekit.compress.prune.removal import Gone
from edgekit.compress.prune.rounding import Grid, Rounding


def select(
    analysis: Analysis,
    groups: Sequence[Group],
    scores: Sequence[Scores],
    limits: Sequence[Labels],
    *,
    ratio: float | Sequence[float],
    scope: str,
    sizes: Sequence[int] | None = None,
    grid: Grid | None = None,
    rounding: Rounding = "up",
    weights: Sequence[float] | None = None,
) -> Gone:
    """Flags of the atoms that go.

    Args:
        analysis: of the graph.
        groups: what may be ranked.
        scores: of each group's channels; the lowest go first.
        limits: sets of which one must stay (``groups.limits``).
        ratio: share of channels that goes: of every group (or one share for each) with scope "local", of all together with
            "global", where scores are divided by their group's mean first.
        scope: "local" or "global".
        sizes: channels that each group once had; ``ratio`` is of these, and counts what is gone already.
        grid: where layers keep multiples: what rounds.
        rounding: see ``Grid.counts``.
        weights: likewise.
    """
    gone = np.zeros(len(analysis.root), np.bool_)
    score_of = np.zeros(len(analysis.root))
    for group, values, goes in zip(groups, scores, _lowest(scores, ratio, scope, sizes), strict=True):
        gone[group.roots[goes]] = True
        score_of[group.roots] = normalised(values)
    _one_stays(limits, gone, score_of)
    if grid is not None:
        wanted = [len(group) - int(np.count_nonzero(gone[group.roots])) for group in groups]
        for group, count in zip(groups, grid.counts(wanted, rounding, weights), strict=True):
            lowest = np.argsort(score_of[group.roots], kind="stable")
            gone[group.roots] = False
            gone[group.roots[lowest[: len(group) - count]]] = True
        _one_stays(limits, gone, score_of)
        _take_back(analysis, groups, gone, score_of, grid.multiple)
    return gone[analysis.root]


def _one_stays(limits: Sequence[Labels], gone: Gone, score_of: Scores) -> None:
    for classes in limits:
        if gone[classes].all():
            gone[classes[np.argmax(score_of[classes])]] = False


def _lowest(
    scores: Sequence[Scores], ratio: float | Sequence[float], scope: str, sizes: Sequence[int] | None
) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    once = [len(values) for values in scores] if sizes is None else sizes
    if scope == "local":
        out = []
        ratios = [ratio] * len(scores) if isinstance(ratio, float | int) else ratio
        for values, size, share in zip(scores, once, ratios, strict=True):
            goes = np.zeros(len(values), np.bool_)
            goes[np.argsort(values, kind="stable")[: _count(share, size, len(values))]] = True
            out.append(goes)
        return out
    if not scores:
        return []
    assert isinstance(ratio, float | int)
    everything = np.concatenate([normalised(values) for values in scores])
    goes = np.zeros(len(everything), np.bool_)
    goes[np.argsort(everything, kind="stable")[: _count(ratio, sum(once), len(everything))]] = True
    return np.split(goes, np.cumsum([len(values) for values in scores])[:-1])


def between(scores: Sequence[Scores], low: float, high: float, sizes: Sequence[int] | None) -> list[int]:
    """Which groups lose fewer channels at the lower of two shares, those first that lose more by them."""
    worth: dict[int, float] = {}
    for number, values in enumerate(scores):
        size = len(values) if sizes is None else sizes[number]
        fewer, more = (_count(share, size, len(values)) for share in (low, high))
        if fewer < more:
            order = np.argsort(values, kind="stable")
            worth[number] = float(normalised(values)[order[fewer:more]].mean())
    return sorted(worth, key=lambda number: -worth[number])


def given_back(
    scores: Sequence[Scores], ratios: Sequence[float], step: int, sizes: Sequence[int] | None
) -> list[tuple[int, float]]:
    """For every group that loses channels, the share at which it loses ``step`` fewer; the best channels come first."""
    found: list[tuple[float, int, float]] = []
    for number, (values, share) in enumerate(zip(scores, ratios, strict=True)):
        size = len(values) if sizes is None else sizes[number]
        count = _count(share, size, len(values))
        fewer = max(count - step, 0)
        if count:
            back = np.argsort(values, kind="stable")[fewer:count]
            found.append((-float(normalised(values)[back].mean()), number, (fewer + size - len(values)) / size))
    return [(number, share) for _, number, share in sorted(found)]


def _count(ratio: float, size: int, left: int) -> int:
    """How many of the ``left`` go so that ``ratio`` of ``size`` are gone."""
    return max(int(ratio * size + 1e-9) - (size - left), 0)


def _take_back(analysis: Analysis, groups: Sequence[Group], gone: Gone, score_of: Scores, round_to: int) -> None:
    """Takes back the best of what goes until every axis that makes channels keeps a multiple, or all of its channels.

    That is nothing to do but where a layer has a part of a group twice, or must keep one of several groups besides.
    """
    axes = {(id(p.value), p.axis): analysis.roots(p.value, p.axis) for group in groups for p in group.made}
    changed = True
    while changed:
        changed = False
        for roots in axes.values():
            while (goes := gone[roots]).any() and (len(roots) - np.count_nonzero(goes)) % round_to:
                lost = roots[goes]
                gone[lost[np.argmax(score_of[lost])]] = False
                changed = True
