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
from edgekit.runtime.exits_taken import Taken, exits_taken
from edgekit.stages.feeding import first
from edgekit.stages.inputs import to_graph_layout
from edgekit.stages.precision import Lowered

#: Samples that are run, at most.
_SAMPLES = 2000

#: Change of the mean cost, as a share of the whole network's, that the user should know of.
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
    record = next((step for step in reversed(graph.history) if step.step == "early_exit"), None)
    if plan is None or not plan.saves or record is None or not isinstance(evaluation, Labelled):
        return content
    inputs = first(to_graph_layout(evaluation.inputs, source, settings), source, _SAMPLES)
    taken = exits_taken(content, dict(zip([value.name for value in graph.inputs], inputs, strict=True)))
    rows = record.details["held_out"]["exits"]
    if taken is None or taken.exits != len(rows):
        return content
    right = _right(taken, graph, evaluation.labels)
    details = {**record.details, "file": _summary(taken, right, rows)}
    warnings = (*record.warnings, *_warnings(details))
    for each in (lowered.graph, lowered.float_graph):
        each.history = tuple(
            replace(step, details=details, warnings=warnings) if step.step == "early_exit" else step for step in each.history
        )
    return export(graph)


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


def _warnings(details: Mapping[str, Any]) -> tuple[str, ...]:
    """One where samples leave elsewhere than in the graph, so that they cost another share of it."""
    if "evaluation" not in details:
        return ()
    wanted, found = (details[key]["cost"]["mean"] for key in ("evaluation", "file"))
    if abs(found - wanted) < _TELLING:
        return ()
    return (
        f"samples leave elsewhere in this file than in the float graph: they cost {100 * found:.1f} % of the whole network in "
        f"the mean, not {100 * wanted:.1f} %",
    )
