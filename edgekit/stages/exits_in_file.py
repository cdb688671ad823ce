"""Where samples leave in the file itself: its numbers are not the graph's, least of all in integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config import InputSettings
from edgekit.data.metrics import Labelled
from edgekit.ir import Graph
from edgekit.ir.exits import exit_plan
from edgekit.ir.history import StepRecord
from edgekit.runtime.exits_taken import Taken, exits_taken
from edgekit.stages.feeding import first
from edgekit.stages.inputs import to_graph_layout
from edgekit.stages.precision import Lowered

#: Samples that are run, at most.
_SAMPLES = 2000

#: Change of the mean cost, as a share of the whole network's, or fall of top-1, that the user should know of.
_TELLING = 0.03


def with_exits_of_file(
    lowered: Lowered,
    content: bytes,
    evaluation: object | None,
    source: Graph,
    settings: Mapping[str, InputSettings],
    export: Callable[[Graph], bytes],
) -> bytes:
    """The file with the exit rates of the evaluation data in it, which leaves where the file decides.

    The record of the step ``early_exit`` in the histories of both graphs of ``lowered`` gets "file" among its details, of the
    form of "evaluation".

    Args:
        lowered: what was exported.
        content: the file; returned as it is where it has no exits, or nothing is evaluated.
        evaluation: labelled data; with a callable there are no samples to look at.
        source: the graph as it was loaded.
        settings: of the inputs, by name.
        export: writes the file again.
    """
    graph = lowered.graph
    plan = exit_plan(graph)
    record, later = _record(graph)
    if plan is None or not plan.saves or record is None or not isinstance(evaluation, Labelled):
        return content
    inputs = first(to_graph_layout(evaluation.inputs, source, settings), source, _SAMPLES)
    taken = exits_taken(content, dict(zip([value.name for value in graph.inputs], inputs, strict=True)))
    rows = record.details["held_out"]["exits"]
    if taken is None or taken.exits != len(rows):
        return content
    if later:
        rows = _recounted(rows, lowered.float_graph, record)
    right = _right(taken, graph, evaluation.labels)
    details = {**record.details, "file": _summary(taken, right, rows)}
    warnings = (*record.warnings, *_warnings(details, later))
    for each in (lowered.graph, lowered.float_graph):
        each.history = tuple(
            replace(step, details=details, warnings=warnings) if step.step == "early_exit" else step for step in each.history
        )
    return export(graph)


def _record(graph: Graph) -> tuple[StepRecord | None, tuple[str, ...]]:
    """What ``early_exit`` left in the history, and the steps that came behind it."""
    places = [place for place, step in enumerate(graph.history) if step.step == "early_exit"]
    if not places:
        return None, ()
    return graph.history[places[-1]], tuple(step.step for step in graph.history[places[-1] + 1 :])


def _recounted(rows: Sequence[Mapping[str, Any]], graph: Graph, record: StepRecord) -> list[dict[str, Any]]:
    """The exits with what they cost after the steps behind; shares are still of the network that ``early_exit`` got."""
    plan = exit_plan(graph)
    whole = record.details.get("whole_macs")
    if plan is None or not whole:
        return [dict(row) for row in rows]
    return [{**row, "macs": macs, "share": macs / whole} for row, macs in zip(rows, plan.macs(), strict=True)]


def _right(taken: Taken, graph: Graph, labels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Whether the output that is chosen names each sample's label; None where labels are no classes."""
    plan = exit_plan(graph)
    assert plan is not None
    after = {id(plan.node), *(id(node) for node in plan.after)}
    output = next((i for i, value in enumerate(graph.outputs) if id(value.producer) in after), None)
    if output is None or labels.dtype.kind not in "iu" or labels.size < len(taken.places):
        return None
    answers = [answer[output].reshape(-1) for answer in taken.answers]
    if any(answer.size != plan.node.output.tensor_shape[1] for answer in answers):
        return None
    wanted = labels.reshape(-1)[: len(answers)]
    found: NDArray[np.bool_] = np.array([int(answer.argmax()) for answer in answers]) == wanted
    return found


def _summary(taken: Taken, right: NDArray[np.bool_] | None, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = []
    for index, (row, rate) in enumerate(zip(rows, taken.rates, strict=True)):
        here = None if right is None else right[taken.places == index]
        of_those = None if here is None or not len(here) else float(here.mean())
        found.append({"name": row["name"], "rate": rate, "top1_of_those": of_those, "macs": row["macs"], "share": row["share"]})
    shares = np.array([row["share"] for row in rows])[taken.places]
    p90 = float(np.quantile(shares, 0.9, method="inverted_cdf"))
    return {
        "samples": len(taken.places),
        "top1": None if right is None else float(right.mean()),
        "exits": found,
        "cost": {"mean": float(shares.mean()), "p90": p90, "worst": float(rows[-1]["share"])},
    }


def _warnings(details: Mapping[str, Any], later: Sequence[str]) -> tuple[str, ...]:
    """One where samples leave elsewhere than they did when thresholds were chosen, and cost or lose more or less."""
    if "evaluation" not in details:
        return ()
    wanted, found = details["evaluation"], details["file"]
    costs = [100 * each["cost"]["mean"] for each in (found, wanted)]
    fell = 0.0 if found["top1"] is None else wanted["top1"] - found["top1"]
    if abs(costs[0] - costs[1]) < 100 * _TELLING and not (later and fell > _TELLING):
        return ()
    cost = f"they cost {costs[0]:.1f} % of the whole network in the mean, not {costs[1]:.1f} %"
    if not later:
        return (f"samples leave elsewhere in this file than in the float graph: {cost}",)
    right = "" if found["top1"] is None else f", and top1 is {100 * found['top1']:.2f} %, not {100 * wanted['top1']:.2f} %"
    names = " and ".join(f"'{name}'" for name in dict.fromkeys(later))
    return (f"thresholds were chosen before {names} came: samples leave elsewhere, {cost}{right}; put 'early_exit' behind",)
