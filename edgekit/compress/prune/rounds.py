"""Pruning in rounds: importance is judged, a little removed, the rest trained, until the amount is met."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from edgekit.compress.context import Context
from edgekit.compress.controls.application import compare, epochs_given
from edgekit.compress.controls.settings import Controls, controls_of
from edgekit.compress.gauging.asked import MEASURED
from edgekit.compress.gauging.gauge import Gauge
from edgekit.compress.prune.analysis import analyse
from edgekit.compress.prune.application import prune
from edgekit.compress.prune.budget import MEASURES
from edgekit.compress.prune.gauged import chosen_by, gauge_of, measured_again, measured_note
from edgekit.compress.prune.gone import AllGone
from edgekit.compress.prune.groups import find_groups
from edgekit.compress.prune.refined import refinement_notes
from edgekit.compress.prune.step import NEEDS, Prune
from edgekit.compress.recording import recorded
from edgekit.compress.tuning import Tuned, tune
from edgekit.ir import Graph
from edgekit.train.settings import Training


def prune_in_rounds(step: Prune, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Prune.apply``. Every round has its oracle; a budget that can't be met is refused before anything is trained."""
    with ExitStack() as stack:
        gauge = stack.enter_context(gauge_of(step, graph, data, context)) if step.is_measured else None
        return _Pruning(step, graph, data, context, gauge).run()


class _Pruning:
    """One step in progress.

    Attributes:
        once: the step without its rounds and trainings.
        least: the graph when the amount is met at once, by weights alone.
    """

    def __init__(self, step: Prune, graph: Graph, data: object | None, context: Context, gauge: Gauge | None) -> None:
        self.started = time.perf_counter()
        self.step, self.graph, self.data, self.context, self.gauge = step, graph, data, context, gauge
        self.once = replace(step, rounds=1, epochs=0, training=None, distillation=None, sparsity=0.0, controls=False)
        criterion = "l1" if NEEDS[step.criterion] else step.criterion
        quick = replace(self.once, criterion=criterion, absorb=False, reestimate=False)
        self.least = prune(quick, graph, None, context, gauge=gauge)  # raises OverBudget
        self.sizes = {group.name: len(group) for group in find_groups(analyse(graph))}
        self.settings = replace(step.training or Training(), epochs=step.epochs)
        self.gone = AllGone(graph)
        self.current = graph
        self.tuned: Tuned | None = None
        self.declined: dict[str, str] = {}
        self.details: dict[str, Any] = {"groups": len(self.sizes), "rounds": []}
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def run(self) -> Graph:
        """All rounds, the controls, and the record."""
        if self.step.sparsity:
            self.details["sparsity"] = self._train("sparsity", last=False)
        for number in range(1, self.step.rounds + 1):
            self.details["rounds"].append(self._round(number))
        self.details["parity_error"] = max(row["parity_error"] for row in self.details["rounds"])
        if (controls := controls_of(self.step.controls)) is not None and self.tuned is not None:
            self._compare(controls, self.tuned)
        if self.gauge is not None:
            measured = self.details["rounds"][-1].pop("measured")
            self.details["measured"], said = measured_again(self.step, self.gauge, self.current, measured)
            self.warnings += said
            self.notes.append(measured_note(self.details["measured"]))
        removed = self.gone.removed()
        if not removed:
            self.warnings.append("nothing was pruned: see what was declined, and why")
        return recorded(
            "prune",
            self.step,
            self.graph,
            self.current,
            self.started,
            removed=removed,
            declined=self.declined,
            warnings=tuple(self.warnings),
            notes=(*self.notes, *refinement_notes(self.details["rounds"][-1])),
            details=self.details,
        )

    def _round(self, number: int) -> dict[str, Any]:
        """Removes a part and trains the rest; what it did."""
        amount = _amount(self.once, self.graph, number / self.step.rounds, self.least)
        small = prune(amount, self.current, self.data, self.context, sizes=self.sizes, gauge=self.gauge)
        record, self.current = small.history[-1], small
        self.gone.add(record.removed)
        self.declined = dict(record.declined)
        row: dict[str, Any] = {"macs": small.macs, "parameters": small.parameters, **record.details}
        if self.step.epochs:
            row |= self._train(f"round-{number}", last=number == self.step.rounds)
        return row

    def _train(self, place: str, *, last: bool) -> dict[str, Any]:
        """Trains what there is now, with small scales of norms as long as a removal is to come; the training's details."""
        how = self.settings if last else replace(self.settings, sparsity=self.step.sparsity)
        self.tuned = tune(self.current, self.data, how, self.step.distillation, self.context.inside(place))
        self.current = self.tuned.trained.graph
        self.warnings += self.tuned.warnings
        self.notes += self.tuned.notes
        return self.tuned.details()

    def _compare(self, controls: Controls, tuned: Tuned) -> None:
        compared = compare(
            controls,
            self.current,
            tuned.trained,
            epochs=epochs_given(self.details),
            macs_before=self.graph.macs,
            settings=self.settings,
            distillation=self.step.distillation,
            data=self.data,
            context=self.context,
        )
        self.details["controls"] = compared.details
        self.notes += compared.notes


def _amount(step: Prune, graph: Graph, done: float, least: Graph) -> Prune:
    """The step with the amount that is to be met when so much of the rounds is done.

    What is kept after the share t of the rounds is k^t of the whole, k being what is kept in the end: each round removes the
    same share of what is left to it.
    """
    if step.ratio is not None:
        return replace(step, ratio=step.ratio if done == 1 else 1 - (1 - step.ratio) ** done)
    if step.is_measured:
        # Only the last round is measured; those before it go by the count at which the budget would be met.
        count = chosen_by(step)
        whole, end = (MEASURES[count](each) for each in (graph, least))
        by_count: dict[str, Any] = {
            **dict.fromkeys(MEASURED),
            "on": "",
            count: max(whole * (end / max(whole, 1)) ** done, 1 + 1e-9),
        }
        return step if done == 1 else replace(step, **by_count)
    measure = next(name for name in MEASURES if getattr(step, name) is not None)
    whole, budget = MEASURES[measure](graph), float(getattr(step, measure))
    share = budget if budget <= 1.0 else min(budget / whole, 1.0)
    # As an amount, because a share would be one of the graph that is left.
    amount = max(whole * (share if done == 1 else share**done), 1 + 1e-9)
    changes: dict[str, Any] = {measure: amount}
    return replace(step, **changes)
