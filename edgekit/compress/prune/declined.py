"""What was left alone, by name, and why."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.compress.prune.analysis import Analysis, name_of
from edgekit.compress.prune.groups import Group
from edgekit.compress.prune.removal import Gone


def declined(analysis: Analysis, groups: list[Group], gone: Gone, reasons: Mapping[str, str]) -> dict[str, str]:
    """For every parameter along which channels are made and of which none (or not all) could be chosen: the reason.

    Args:
        analysis: of the graph.
        groups: all of its groups.
        gone: what goes.
        reasons: why a group (by its name) was not ranked.
    """
    names = name_of(analysis.graph)
    group_of = {id(place.value): group for group in groups for place in group.made}
    out: dict[str, str] = {}
    for (_, axis), value in analysis.coupling.made.items():
        labels = analysis.coupling.axis(value, axis)
        free, removed = int(analysis.free(value, axis).sum()), int(gone[labels].sum())
        name = names[id(value)]
        if free == 0:
            out.setdefault(name, analysis.reason(value, axis))
        elif free < len(labels):
            out.setdefault(name, f"only {free} of {len(labels)} channels may go: {analysis.reason(value, axis)}")
        elif not removed:
            out.setdefault(name, _unchosen(group_of.get(id(value)), reasons))
    for name, value in analysis.graph.state.items():
        if value.is_trainable and value.type.rank > 1 and not value.users:
            out.setdefault(name, "no output of the model depends on it")
    return out


def _unchosen(group: Group | None, reasons: Mapping[str, str]) -> str:
    if group is not None and group.name in reasons:
        return reasons[group.name]
    if group is not None and len(group) == 1:
        return "all of its channels go together, and one must stay"
    count = 0 if group is None else len(group)
    return f"none of its {count} channels was among those to go: ratio, ranking, rounding or a layer that must keep one"
