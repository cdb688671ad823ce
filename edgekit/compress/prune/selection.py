"""Which channels go: the lowest scores, within groups or over all, as far as every layer keeps one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.criteria.table import Scores, normalised
from edgekit.compress.prune.groups import Group
from edgekit.compress.prune.removal import Gone


def select(
    analysis: Analysis,
    groups: Sequence[Group],
    scores: Sequence[Scores],
    limits: Sequence[Labels],
    *,
    ratio: float,
    scope: str,
    round_to: int = 1,
    sizes: Sequence[int] | None = None,
) -> Gone:
    """Flags of the atoms that go.

    Args:
        analysis: of the graph.
        groups: what may be ranked.
        scores: of each group's channels; the lowest go first.
        limits: sets of which one must stay (``groups.limits``).
        ratio: share of channels that goes: of every group with scope "local", of all together with "global", where scores
            are divided by their group's mean first.
        scope: "local" or "global".
        round_to: each layer keeps a multiple of so many channels, rounded up.
        sizes: channels that each group once had; ``ratio`` is of these, and counts what is gone already.
    """
    gone = np.zeros(len(analysis.root), np.bool_)
    score_of = np.zeros(len(analysis.root))
    for group, values, goes in zip(groups, scores, _lowest(scores, ratio, scope, sizes), strict=True):
        gone[group.roots[goes]] = True
        score_of[group.roots] = normalised(values)
    for classes in limits:
        if gone[classes].all():
            gone[classes[np.argmax(score_of[classes])]] = False
    if round_to > 1:
        _round(analysis, groups, gone, score_of, round_to)
    return gone[analysis.root]


def _lowest(
    scores: Sequence[Scores], ratio: float, scope: str, sizes: Sequence[int] | None
) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    once = [len(values) for values in scores] if sizes is None else sizes
    if scope == "local":
        out = []
        for values, size in zip(scores, once, strict=True):
            goes = np.zeros(len(values), np.bool_)
            goes[np.argsort(values, kind="stable")[: _count(ratio, size, len(values))]] = True
            out.append(goes)
        return out
    if not scores:
        return []
    everything = np.concatenate([normalised(values) for values in scores])
    goes = np.zeros(len(everything), np.bool_)
    goes[np.argsort(everything, kind="stable")[: _count(ratio, sum(once), len(everything))]] = True
    return np.split(goes, np.cumsum([len(values) for values in scores])[:-1])


def _count(ratio: float, size: int, left: int) -> int:
    """How many of the ``left`` go so that ``ratio`` of ``size`` are gone."""
    return max(int(ratio * size + 1e-9) - (size - left), 0)


def _round(analysis: Analysis, groups: Sequence[Group], gone: Gone, score_of: Scores, round_to: int) -> None:
    """Takes back the best of what goes until every axis that makes channels keeps a multiple, or all of its channels."""
    axes = {(id(p.value), p.axis): analysis.roots(p.value, p.axis) for group in groups for p in group.made}
    changed = True
    while changed:
        changed = False
        for roots in axes.values():
            while (goes := gone[roots]).any() and (len(roots) - np.count_nonzero(goes)) % round_to:
                lost = roots[goes]
                gone[lost[np.argmax(score_of[lost])]] = False
                changed = True
