"""What the step ``early_exit`` does: places, heads, their training, temperatures, thresholds, and what it all comes to."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.compress.context import Context
from edgekit.compress.early_exit.apart import require_apart
from edgekit.compress.early_exit.automatic import candidates, choose_places
from edgekit.compress.early_exit.calibration import fit_temperature, negative_log_likelihood
from edgekit.compress.early_exit.ensemble import blend, fit_weights
from edgekit.compress.early_exit.frozen import train_heads
from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.heads import attach, prefix_for
from edgekit.compress.early_exit.joint import train_together
from edgekit.compress.early_exit.observing import Observed, Unseen, evaluation, evaluation_of, held_out
from edgekit.compress.early_exit.places import answer, cost, find
from edgekit.compress.early_exit.policy import CLOSED, Goal, choose
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.compress.early_exit.summary import calibration_errors, curve, summary
from edgekit.compress.recording import recorded
from edgekit.data import Data, repeatable
from edgekit.errors import OverBudget, Unsupported
from edgekit.ir import Graph, Value, ops
from edgekit.ir.exits import exit_plan
from edgekit.train.batches import Feeding
from edgekit.train.samples import open_samples

#: What the last exit is called in a record.
THE_END = "end"

#: Held out samples below which a threshold is hardly more than a guess.
_FEW = 500


#: Share of the network's MACs from which an early answer saves next to nothing.
_IN_VAIN = 0.98


#: Share of samples that a goal of cost may lose without a word.
_MUCH_LOST = 0.01


@dataclass(frozen=True)
class _Policy:
    """Of a set of exits: their temperatures and thresholds, and what each later one's answer has of the one before."""

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    weights: tuple[float, ...]


def add_exits(step: EarlyExit, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``EarlyExit.apply``. The order of the lines is the order of the work."""
    started = time.perf_counter()
    _require_plain(graph)
    end = answer(graph, step.output)
    places = candidates(graph, end) if isinstance(step.at, str) else find(graph, step.at, end)
    names = [place.value.name for place in places]
    wishes = [place.wish for place in places]
    own = step.heads(wishes)
    data = repeatable(data)
    samples, feeding = open_samples(data, graph, step.settings(), context.root)
    require_apart(graph, end, samples, feeding)
    unseen = evaluation_of(data, feeding, int(end.tensor_shape[1]), context.root)
    _require_reachable(step, graph, names, own, end)
    if step.freeze:
        base = copy.deepcopy(graph)  # a graph's own copy shares parameters
        heads, trained = train_heads(step, graph, names, own, end.name, samples, feeding, data, context)
        if isinstance(step.at, str):
            names, heads = choose_places(step, base, names, end.name, heads, samples, feeding, context.root)
        _put(base, names, own[: len(names)], end.name, heads, step)
    else:
        base, trained = train_together(step, own, step.weights_of(wishes), graph, names, end.name, data, context)
    result, exits = _with_choice(base, end.name, len(names), prefix_for(graph), step)
    observed = held_out(step, result, exits, samples, feeding, context.root)
    weights = fit_weights(observed.logits, observed.labels) if step.ensemble else ()
    observed = observed.together(weights)
    policy, details = _decide(step, graph, result, names, observed, weights)
    _settle(result, exits, step, policy)
    details |= _evaluated(step, graph, result, exits, names, policy, observed, unseen, feeding)
    details["training"] = trained.details()
    warnings = (
        *_warnings(step, names, policy, observed, details["held_out"]),
        *_in_vain(graph, details["held_out"]["exits"][:-1]),
    )
    return recorded(
        "early_exit", step, graph, result, started, details=details, warnings=warnings, notes=_notes(step, data, unseen)
    )


def _require_reachable(step: EarlyExit, graph: Graph, names: Sequence[str], own: Sequence[Head], end: Value) -> None:
    """No thresholds make a network cheaper than its first exit."""
    if step.mean_cost is None:
        return
    scratch = graph.copy()
    values = {value.name: value for value in scratch.values()}
    logits = attach(scratch, [values[name] for name in names], int(end.tensor_shape[1]), own, step.settings().seed)
    least, name = min(zip((cost(head) for head in logits), names, strict=True), key=lambda pair: pair[0])
    if least > step.mean_cost * graph.macs:
        raise OverBudget(
            f"the exit at '{name}' costs {least / max(graph.macs, 1):.4f} of the network already",
            where=f"early_exit: mean_cost = {step.mean_cost:g}",
            hint="an earlier exit (at = [0.2]), a smaller head, or a larger mean_cost",
        )


def _require_plain(graph: Graph) -> None:
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported(
            "early exits for a graph that is quantised already",
            where=graph.name,
            hint="add the exits first: quantisation comes after them and gives all exits one scale",
        )
    if exit_plan(graph) is not None:
        raise Unsupported("the network has early exits already", where=graph.name, hint="one step with several places in 'at'")


def _put(
    graph: Graph, names: Sequence[str], own: Sequence[Head], end: str, heads: Mapping[str, Tensor], step: EarlyExit
) -> None:
    """Attaches trained heads."""
    values = {value.name: value for value in graph.values()}
    attach(graph, [values[name] for name in names], int(values[end].tensor_shape[1]), own, step.settings().seed)
    with torch.no_grad():
        for name, tensor in heads.items():
            graph.state[name].tensor.copy_(tensor)


def _with_choice(graph: Graph, end: str, count: int, prefix: str, step: EarlyExit) -> tuple[Graph, list[Value]]:
    """The graph with a choice between its exits in the place of its logits; and the logits of all exits."""
    values = {value.name: value for value in graph.values()}
    last = values[end]
    weights = [graph.state[f"{prefix}.{index}.weight"] for index in range(count)]
    heads = [next(node.output for node in graph.nodes if node.optional(1) is weight) for weight in weights]
    op = ops.ChooseExit(step.score, (1.0,) * count, (CLOSED,) * count)
    choice = graph.add(op, *heads, last, name=f"{end}.last", where=last.producer.where if last.producer else ())
    graph.replace(last, choice)  # the two exchange names: outputs keep theirs
    graph.sort()
    return graph, [*heads, last]


def _settle(graph: Graph, exits: Sequence[Value], step: EarlyExit, policy: _Policy) -> None:
    """Gives the choice its temperatures and thresholds, and the answers that it chooses between."""
    choice = next(node for node in graph.nodes if isinstance(node.op, ops.ChooseExit))
    for index, value in enumerate(blend(graph, exits, policy.weights) if policy.weights else ()):
        graph.set_input(choice, index, value)
    graph.set_op(choice, ops.ChooseExit(step.score, policy.temperatures, policy.thresholds))
    graph.sort()
    graph.verify()


def _shares(graph: Graph, result: Graph) -> tuple[tuple[int, ...], list[float]]:
    plan = exit_plan(result)
    assert plan is not None
    macs = plan.macs()
    return macs, [cost / max(graph.macs, 1) for cost in macs]


def _decide(
    step: EarlyExit, graph: Graph, result: Graph, names: Sequence[str], observed: Observed, weights: tuple[float, ...]
) -> tuple[_Policy, dict[str, Any]]:
    """Temperatures, then thresholds, on what was held out."""
    logits = [z.double().numpy() for z in observed.logits]
    temperatures = tuple(fit_temperature(z, observed.labels) for z in logits[:-1])
    macs, shares = _shares(graph, result)
    places = range(len(names))
    seen = observed.seen(step.score, temperatures, shares, places)
    thresholds = choose(seen, Goal.of(step))
    found = summary(seen, thresholds, [*names, THE_END], macs)
    for row, z, t, threshold in zip(found["exits"], logits, temperatures, thresholds, strict=False):
        row |= {
            "temperature": t,
            "threshold": float(threshold),
            "nll_before": negative_log_likelihood(z, observed.labels),
            "nll_after": negative_log_likelihood(z, observed.labels, t),
            **calibration_errors(z, observed.labels, t),
        }
    for row, weight in zip(found["exits"][1:], weights, strict=False):
        row["share_of_the_exit_before"] = weight
    policy = _Policy(temperatures, tuple(float(t) for t in thresholds), weights)
    return policy, {"held_out": found, "whole_macs": graph.macs}


def _evaluated(
    step: EarlyExit,
    graph: Graph,
    result: Graph,
    exits: Sequence[Value],
    names: Sequence[str],
    policy: _Policy,
    on: Observed,
    unseen: Unseen | None,
    feeding: Feeding,
) -> dict[str, Any]:
    """What the thresholds come to on the evaluation data, and the curve: chosen on the one, shown on the other."""
    macs, shares = _shares(graph, result)
    places = range(len(names))
    chosen_on = on.seen(step.score, policy.temperatures, shares, places)
    if unseen is None:
        return {"curve": curve(chosen_on, chosen_on)}
    observed = evaluation(result, exits, unseen, feeding)
    seen = observed.together(policy.weights).seen(step.score, policy.temperatures, shares, places)
    found = summary(seen, np.array(policy.thresholds), [*names, THE_END], macs)
    return {"evaluation": found, "curve": curve(chosen_on, seen)}


def _warnings(
    step: EarlyExit, names: Sequence[str], policy: _Policy, observed: Observed, found: Mapping[str, Any]
) -> tuple[str, ...]:
    said = [
        f"the exit at '{name}' never answers: the goal leaves no room for it; leave it out, or allow more"
        for name, threshold in zip(names, policy.thresholds, strict=True)
        if threshold >= CLOSED
    ]
    mean_cost, lost = found["cost"]["mean"], found["top1_of_last"] - found["top1"]
    if step.mean_cost is not None and mean_cost > step.mean_cost + 1e-9:
        said.append(
            f"no thresholds reach a mean cost of {step.mean_cost:g}: they come to {mean_cost:.3f}; "
            "an earlier exit, a smaller head, or a larger mean_cost"
        )
    if step.mean_cost is not None and lost > _MUCH_LOST:
        said.append(
            f"a mean cost of {step.mean_cost:g} costs {100 * lost:.1f} points of top-1 on what was held out: "
            f"{found['top1']:.4f} instead of {found['top1_of_last']:.4f}; max_drop says what may be lost"
        )
    if (count := len(observed.labels) // observed.repeats) < _FEW:
        said.append(f"thresholds were chosen on {count} samples only; hold out more (validation)")
    return tuple(said)


def _in_vain(graph: Graph, exits: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Exits at which samples leave that cost what the whole network does, or nearly."""
    others = len(graph.outputs) > 1
    reason = "other outputs of the network need what comes later" if others else "an earlier place, or a smaller head"
    return tuple(
        f"a sample that leaves at '{row['name']}' still costs {row['share']:.1%} of the network's MACs: {reason}"
        for row in exits
        if row["rate"] and row["share"] > _IN_VAIN
    )


def _notes(step: EarlyExit, data: object, unseen: Unseen | None) -> tuple[str, ...]:
    frozen = "the network itself was left as it was, heads alone were trained" if step.freeze else "all was trained together"
    notes = (f"{frozen}; files compute what a sample needs, at batch 1, and the graph computes all exits",)
    if unseen is None and isinstance(data, Data) and data.evaluate is not None:
        return (*notes, "the evaluation is a callable, which sees the whole: exits were looked at on what was held out alone")
    return notes
