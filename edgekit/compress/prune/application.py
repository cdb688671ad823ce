"""What the step ``prune`` does, from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from edgekit.compress.context import Context
from edgekit.compress.gauging.gauge import Gauge
from edgekit.compress.names import check_names, first_that_covers
from edgekit.compress.prune.absorbing import absorb
from edgekit.compress.prune.analysis import Analysis, analyse
from edgekit.compress.prune.budget import HIGHEST, MEASURES, Choices, how_small, larger_budget, meet, smallest
from edgekit.compress.prune.criteria import CRITERIA, Evidence, NotDefined
from edgekit.compress.prune.criteria.table import Scores
from edgekit.compress.prune.declined import declined
from edgekit.compress.prune.evidence import evidence
from edgekit.compress.prune.gauged import allowed_by, chosen_by, gauge_of, measured_details, measured_note, unsteady
from edgekit.compress.prune.groups import Group, find_groups, limits
from edgekit.compress.prune.measured import Candidates, meet_measured
from edgekit.compress.prune.oracle import check
from edgekit.compress.prune.reestimate import reestimate
from edgekit.compress.prune.refined import refinement_notes
from edgekit.compress.prune.removal import Gone, removed_by, removed_of_groups, shrink
from edgekit.compress.prune.rounding import Grid
from edgekit.compress.prune.selection import between, given_back, select
from edgekit.compress.prune.step import NEEDS, Prune
from edgekit.compress.recording import recorded
from edgekit.errors import OverBudget
from edgekit.ir import Graph

#: Groups that an error names.
_NAMED = 3


def prune(
    step: Prune,
    graph: Graph,
    data: object | None,
    context: Context,
    *,
    sizes: Mapping[str, int] | None = None,
    gauge: Gauge | None = None,
) -> Graph:
    """One removal; see ``Prune.apply``.

    Args:
        step: whose rounds do not count.
        graph: float; is left as it is.
        data: as there.
        context: has the folder that callables are imported from, and writes the files that are measured.
        sizes: channels that groups had before earlier rounds, by name: a ratio counts those that are gone already.
        gauge: measures against another graph than this one: what an earlier round was given.
    """
    started = time.perf_counter()
    analysis = analyse(graph)
    groups = find_groups(analysis)
    seen = _evidence(step, analysis, data, context)
    check_names("keep", step.keep, graph.state, of="a parameter or a module with parameters", where=graph.name)
    ranked, scores, reasons = _rank(step, groups, seen)
    before = None if sizes is None else [sizes.get(group.name, len(group)) for group in ranked]
    grid = Grid(analysis, ranked, step.round_to) if step.round_to > 1 else None
    choose = partial(select, analysis, ranked, scores, limits(analysis), scope=step.scope, sizes=before, grid=grid)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    if step.ratio is not None:
        gone = choose(ratio=step.ratio)
    else:
        choices = Choices(
            groups=len(ranked) if step.scope == "local" else 1,
            pick=lambda ratio: choose(ratio=ratio, rounding="nearest"),
            between=lambda low, high: between(scores, low, high, before),
            least=lambda weights: choose(ratio=HIGHEST, rounding="least", weights=weights),
            channels=[group.roots for group in ranked],
            round_to=step.round_to,
            given_back=lambda ratios: given_back(scores, ratios, step.round_to, before),
        )
        try:
            gone, details, warnings, notes = _within_budget(step, analysis, choices, data, context, gauge)
        except OverBudget as missed:
            missed.hint = "; ".join([*_left_alone(reasons), missed.hint or ""])
            raise
    small = shrink(analysis, gone)
    details |= {"parity_error": check(analysis, gone, small), "groups": len(groups)}
    if apart := removed_of_groups(analysis, gone):
        details["removed_of_groups"] = apart
    if step.absorb:
        # A new bias costs what other budgets count: parameters, bytes, or an addition behind a matrix product.
        details |= absorb(analysis, gone, small, seen.batches, may_grow=step.ratio is not None or step.macs is not None)
    if step.reestimate:
        details["batch_norms_reestimated"] = reestimate(small, seen.batches)
    removed = removed_by(analysis, gone)
    return recorded(
        "prune",
        step,
        graph,
        small,
        started,
        removed=removed,
        declined=declined(analysis, groups, gone, reasons),
        warnings=(*warnings, *(() if removed else ("nothing was pruned: see what was declined, and why",))),
        notes=(*notes, *refinement_notes(details)),
        details=details,
    )


def _evidence(step: Prune, analysis: Analysis, data: object | None, context: Context) -> Evidence:
    """The user's data, where the criterion or an option looks at it."""
    need = NEEDS[step.criterion]
    if not need and not step.absorb and not step.reestimate:
        return Evidence(analysis, [], None, step.seed)
    seen = evidence(analysis, data, labels=need == "labels", seed=step.seed, root=context.root)
    return seen if step.training is None else replace(seen, loss=step.training.loss)


def _within_budget(
    step: Prune, analysis: Analysis, choices: Choices, data: object | None, context: Context, gauge: Gauge | None
) -> tuple[Gone, dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """What goes, with details, warnings and notes of the measurements where there were any."""
    measure = next((name for name in MEASURES if getattr(step, name) is not None), None)
    if measure is not None:
        return meet(analysis, measure, getattr(step, measure), choices), {}, (), ()
    with ExitStack() as stack:
        measuring = gauge or stack.enter_context(gauge_of(step, analysis.graph, data, context))
        found = meet_measured(analysis, allowed_by(step), _candidates(step, analysis, choices), measuring)
        by = chosen_by(step)
        details = {**measured_details(step, measuring, found.reading, found.rows(by)), "chosen_by": by}
    return found.gone, {"measured": details}, tuple(unsteady(found.reading)), (measured_note(details),)


def _left_alone(reasons: Mapping[str, str]) -> list[str]:
    """The first groups that were not ranked, for an error: what a criterion says nothing about, what was to be kept."""
    named = [f"{name} was left alone ({why})" for name, why in reasons.items()]
    return [*named[:_NAMED], *([f"{len(named) - _NAMED} more likewise"] if len(named) > _NAMED else [])]


def _candidates(step: Prune, analysis: Analysis, choices: Choices) -> Candidates:
    """What may be measured: by its count, and as small as can be."""
    count = chosen_by(step)

    def within(amount: float) -> Gone:
        try:
            return meet(analysis, count, max(amount, 1 + 1e-9), choices)
        except OverBudget:
            return smallest(analysis, count, choices)

    return Candidates(
        count,
        within,
        lambda: smallest(analysis, count, choices),
        how_small(choices.round_to),
        larger_budget(choices.round_to),
    )


def _rank(step: Prune, groups: list[Group], seen: Evidence) -> tuple[list[Group], list[Scores], dict[str, str]]:
    """The groups that may lose channels, their scores, and why the others may not."""
    reasons: dict[str, str] = {}
    wanted = []
    for group in groups:
        kept = _kept(step, group, seen.analysis)
        if kept:
            reasons[group.name] = f"'{kept}' was to be kept"
        elif len(group) > 1:
            wanted.append(group)
    ranked, scores = [], []
    for group, result in zip(wanted, CRITERIA[step.criterion](wanted, seen), strict=True):
        if isinstance(result, NotDefined):
            reasons[group.name] = str(result)
        else:
            ranked.append(group)
            scores.append(result)
    return ranked, scores, reasons


def _kept(step: Prune, group: Group, analysis: Analysis) -> str:
    """The name in ``keep`` of a parameter that makes the group's channels or has one value for each, as a norm's."""
    if not step.keep:
        return ""
    makers = {id(place.value) for place in group.places if place.makes or place.value.type.rank == 1}
    names = [name for name, value in analysis.graph.state.items() if id(value) in makers]
    return first_that_covers(step.keep, names) or ""
