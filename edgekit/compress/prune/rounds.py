"""Pruning in rounds: importance is judged, a little removed, the rest trained, until the amount is met."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.compress.context import Context
from edgekit.compress.controls.application import compare, epochs_given
from edgekit.compress.controls.settings import controls_of
from edgekit.compress.gauging.gauge import Gauge
from edgekit.compress.prune.analysis import analyse
from edgekit.compress.prune.application import prune
from edgekit.compress.prune.budget import MEASURES
from edgekit.compress.prune.gauged import gauge_of, measured_again, measured_note
from edgekit.compress.prune.groups import find_groups
from edgekit.compress.prune.step import MEASURED, Prune
from edgekit.compress.recording import recorded
from edgekit.compress.tuning import tune
from edgekit.ir import Graph
from edgekit.ir.history import StepRecord
from edgekit.train.settings import Training

#: Indices that were removed: parameter -> axis -> indices.
_Removed = Mapping[str, Mapping[int, tuple[int, ...]]]


def prune_in_rounds(step: Prune, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Prune.apply``. Every round has its oracle; a budget that can't be met is refused before anything is trained."""
    started = time.perf_counter()
    once = replace(step, rounds=1, epochs=0, training=None, distillation=None, sparsity=0.0, controls=False)
    with ExitStack() as stack:
        gauge = stack.enter_context(gauge_of(step, graph, data, context)) if step.is_measured else None
        return _rounds(step, once, graph, data, context, started, gauge)


def _rounds(
    step: Prune, once: Prune, graph: Graph, data: object | None, context: Context, started: float, gauge: Gauge | None
) -> Graph:
    quick = replace(once, criterion="l1", absorb=False, reestimate=False)
    least = prune(quick, graph, None, context, gauge=gauge)  # raises OverBudget
    sizes = {group.name: len(group) for group in find_groups(analyse(graph))}
    settings = replace(step.training or Training(), epochs=step.epochs)
    current = graph
    warnings: list[str] = []
    notes: list[str] = []
    rounds: list[dict[str, Any]] = []
    record: StepRecord | None = None
    gone = _Gone(graph)
    details: dict[str, Any] = {}
    if step.sparsity:
        tuned = tune(graph, data, replace(settings, sparsity=step.sparsity), step.distillation, context.inside("sparsity"))
        current, details["sparsity"] = tuned.trained.graph, tuned.details()
        warnings, notes = [*tuned.warnings], [*tuned.notes]
    for number in range(1, step.rounds + 1):
        amount = _amount(once, graph, number / step.rounds, least)
        small = prune(amount, current, data, context, sizes=sizes, gauge=gauge)
        record = small.history[-1]
        gone.add(record.removed)
        row: dict[str, Any] = {"macs": small.macs, "parameters": small.parameters, **record.details}
        if step.epochs:
            last = number == step.rounds
            how = settings if last else replace(settings, sparsity=step.sparsity)
            tuned = tune(small, data, how, step.distillation, context.inside(f"round-{number}"))
            small = tuned.trained.graph
            warnings, notes = [*warnings, *tuned.warnings], [*notes, *tuned.notes]
            row |= tuned.details()
        rounds.append(row)
        current = small
    assert record is not None
    if (controls := controls_of(step.controls)) is not None:
        compared = compare(
            controls,
            current,
            tuned.trained,
            epochs=epochs_given({**details, "rounds": rounds}),
            macs_before=graph.macs,
            settings=settings,
            distillation=step.distillation,
            data=data,
            context=context,
        )
        details["controls"], notes = compared.details, [*notes, *compared.notes]
    if gauge is not None:
        details["measured"], said = measured_again(step, gauge, current, rounds[-1].pop("measured"))
        warnings, notes = [*warnings, *said], [*notes, measured_note(details["measured"])]
    removed = gone.removed()
    details |= {"parity_error": max(row["parity_error"] for row in rounds), "groups": len(sizes), "rounds": rounds}
    warnings += () if removed else record.warnings
    declined = record.declined
    return recorded(
        "prune",
        step,
        graph,
        current,
        started,
        removed=removed,
        declined=declined,
        warnings=tuple(warnings),
        notes=tuple(notes),
        details=details,
    )


def _amount(step: Prune, graph: Graph, done: float, least: Graph) -> Prune:
    """The step with the amount that is to be met when so much of the rounds is done.

    What is kept after the share t of the rounds is k^t of the whole, k being what is kept in the end: each round removes the
    same share of what is left to it.
    """
    if step.ratio is not None:
        return replace(step, ratio=step.ratio if done == 1 else 1 - (1 - step.ratio) ** done)
    if step.is_measured:
        # Only the last round is measured; those before it go by the multiply-accumulates that would meet the budget.
        amount = graph.macs * (least.macs / graph.macs) ** done
        by_macs: dict[str, Any] = {**dict.fromkeys(MEASURED), "on": "", "macs": max(amount, 1 + 1e-9)}
        return step if done == 1 else replace(step, **by_macs)
    measure = next(name for name in MEASURES if getattr(step, name) is not None)
    whole, budget = MEASURES[measure](graph), float(getattr(step, measure))
    share = budget if budget <= 1.0 else min(budget / whole, 1.0)
    # As an amount, because a share would be one of the graph that is left.
    amount = max(whole * (share if done == 1 else share**done), 1 + 1e-9)
    changes: dict[str, Any] = {measure: amount}
    return replace(step, **changes)


class _Gone:
    """What all rounds removed, in the indices of the graph that the first one was given."""

    def __init__(self, graph: Graph) -> None:
        self._sizes = {name: value.tensor_shape for name, value in graph.state.items()}
        self._left: dict[tuple[str, int], np.ndarray[Any, Any]] = {}

    def add(self, removed: _Removed) -> None:
        """One round, in the indices of the graph that it was given."""
        for name, axes in removed.items():
            for axis, indices in axes.items():
                left = self._left.get((name, axis), np.arange(self._sizes[name][axis]))
                self._left[name, axis] = np.delete(left, list(indices))

    def removed(self) -> dict[str, dict[int, tuple[int, ...]]]:
        """All of it."""
        found: dict[str, dict[int, tuple[int, ...]]] = {}
        for (name, axis), left in self._left.items():
            lost = np.setdiff1d(np.arange(self._sizes[name][axis]), left)
            if len(lost):
                found.setdefault(name, {})[axis] = tuple(int(i) for i in lost)
        return found
