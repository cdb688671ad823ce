"""What a rewriting step does, from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from edgekit.compress.prune.reestimate import reestimate
from edgekit.compress.recording import recorded
from edgekit.compress.rewriting.choice import Choice, by_error, within
from edgekit.compress.rewriting.factorization import Factorization, Factors
from edgekit.compress.rewriting.layers import find_layers, select
from edgekit.compress.rewriting.menu import Dish, Menu, make_menu
from edgekit.compress.rewriting.options import Rewriting
from edgekit.compress.rewriting.oracle import check
from edgekit.compress.rewriting.patches import inputs_of, sample
from edgekit.compress.rewriting.tuning import Tuned, tune
from edgekit.compress.rewriting.writing import Rewrite, write
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph


@dataclass(frozen=True)
class Plan:
    """What tells one rewriting step from another.

    Attributes:
        name: of the step.
        methods: of writing a layer.
        bound: the relative error that each layer may make, or None.
        given: the rank asked for, or None.
        round_to: ranks are multiples of it.
        between: see ``write``.
        of_weights: the bound is of weights even where there is data.
    """

    name: str
    methods: Sequence[type[Factorization]]
    bound: float | None = None
    given: float | None = None
    round_to: int = 1
    between: str = "none"
    of_weights: bool = False


def apply(step: Rewriting, plan: Plan, graph: Graph, data: object | None, *, root: Path | None = None) -> Graph:
    """See ``Separable.apply`` and ``LowRank.apply``; callables are imported from ``root``."""
    started = time.perf_counter()
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported("rewriting layers of a quantised graph", where=graph.name, hint="rewrite first, quantise afterwards")
    found, declined = find_layers(graph)
    layers, unwanted = select(found, step.layers, step.keep, declined, graph.name)
    looks = step.refit or step.absorb or step.reestimate or step.judge == "outputs"
    batches = inputs_of(graph, data, needed=looks, root=root)
    outputs = bool(batches) and step.judge != "weights" and not plan.of_weights
    rows = sample(graph, layers, batches, step.seed) if outputs else {}
    measure = "parameters" if step.parameters is not None else "macs"
    if measure == "parameters":
        unwanted |= {x.name: "it is no parameter: a budget of parameters gains nothing" for x in layers if not x.is_trainable}
        layers = [layer for layer in layers if layer.is_trainable]
    menus = [
        make_menu(
            layer,
            plan.methods,
            measure=measure,
            round_to=plan.round_to,
            given=plan.given,
            allow_dearer=step.allow_dearer,
            rows=rows.get(id(layer)),
            extra_per_channel=2 if plan.between.startswith("bn") else 0,
        )
        for layer in layers
    ]
    chosen = _choose(step, plan, menus, graph, measure)
    served = [dish for dish in chosen if dish is not None]
    rewrites = [_rewrite(dish, step, index) for index, dish in enumerate(served)]
    small, chains = write(graph, rewrites)
    parity = check(graph, small, rewrites)
    if plan.between != "none":
        small, chains = write(graph, rewrites, plan.between)
    _check_costs(graph, small, served)
    details: dict[str, Any] = {
        "layers": {r.layer.name: _details(dish, r) for dish, r in zip(served, rewrites, strict=True)},
        "judged_by": "outputs" if outputs else "weights",
        "parity_error": parity,
    }
    if step.refit or step.absorb or (plan.between.startswith("bn") and batches):
        tuned = tune(graph, small, chains, batches, refit=step.refit, absorb=step.absorb, seed=step.seed)
        _add_tuned(details, tuned)
    if step.reestimate:
        details["batch_norms_reestimated"] = reestimate(small, batches)
    return recorded(
        plan.name,
        step,
        graph,
        small,
        started,
        declined={**declined, **unwanted, **_left(menus, chosen, plan)},
        warnings=_warnings(plan, served, batches),
        notes=_capped(plan, served),
        details=details,
    )


def _choose(step: Rewriting, plan: Plan, menus: list[Menu], graph: Graph, measure: str) -> Choice:
    budget = step.parameters if measure == "parameters" else step.macs
    if budget is not None:
        return within(menus, measure, graph.parameters if measure == "parameters" else graph.macs, budget)
    if plan.given is not None:
        return [menu.dishes[0] if menu.dishes else None for menu in menus]
    if plan.bound is None:
        raise UsageError(
            f"'{plan.name}' needs an amount", where=plan.name, hint="macs = 0.5 keeps half the multiply-accumulates"
        )
    return by_error(menus, plan.bound, measure)


def _rewrite(dish: Dish, step: Rewriting, index: int) -> Rewrite:
    rank = dish.candidate.rank
    factors = dish.how.factors(rank) if step.init == "svd" else _random(dish.how, rank, step.seed + index)
    dtype = dish.how.layer.dtype
    return Rewrite(dish.how, rank, tuple(f.to(dtype).double() for f in factors))


def _random(how: Factorization, rank: tuple[int, ...], seed: int) -> Factors:
    """Normal numbers of variance 1 / inputs in each factor; the last one scaled so that the product is as large as the weight.

    The control to the decomposition: same shapes, same size, nothing of the weight's directions.
    """
    generator = torch.Generator().manual_seed(seed)
    factors = tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64) / prod(shape[1:]) ** 0.5 for shape in how.shapes(rank)
    )
    scale = how.layer.dense.norm() / how.dense(factors).norm()
    return (*factors[:-1], factors[-1] * float(scale))


def _check_costs(graph: Graph, small: Graph, served: Sequence[Dish]) -> None:
    """The formulas' sums are the graph's own counts; AssertionError otherwise, for that is a mistake of ours."""
    for measure, before, after in (("macs", graph.macs, small.macs), ("parameters", graph.parameters, small.parameters)):
        trainable = [d for d in served if measure == "macs" or d.how.layer.is_trainable]
        saved = sum(Menu(d.how.layer).cost(measure) - d.cost(measure) for d in trainable)
        if before - saved != after:
            raise AssertionError(f"the formulas give {before - saved} {measure}, the graph counts {after}")


def _details(dish: Dish, rewrite: Rewrite) -> dict[str, Any]:
    error = dish.how.error_of(rewrite.factors)
    row: dict[str, Any] = {
        "method": dish.how.method,
        "rank": list(rewrite.rank),
        "energy": 1 - min(error, 1.0) ** 2,
        "error": error,
        "macs": [rewrite.layer.macs, dish.cost("macs")],
        "parameters": [rewrite.layer.parameters, dish.cost("parameters")],
    }
    return row if dish.output_error is None else {**row, "output_error": dish.output_error}


def _add_tuned(details: dict[str, Any], tuned: Tuned) -> None:
    for name, (before, after) in tuned.errors.items():
        details["layers"][name]["output_error_fitted"] = [before, after]
    if tuned.left:
        details["not_fitted"] = tuned.left
    if tuned.norms:
        details["batch_norms_set"] = tuned.norms


def _left(menus: Sequence[Menu], chosen: Choice, plan: Plan) -> Mapping[str, str]:
    """Why layers that might have been rewritten were not."""
    out = {}
    for menu, dish in zip(menus, chosen, strict=True):
        if dish is not None:
            continue
        if menu.reason:
            out[menu.layer.name] = menu.reason
        elif plan.bound is not None:
            least = min(d.error for d in menu.dishes)
            out[menu.layer.name] = f"no cheaper form is within an error of {plan.bound:.3g}: the closest is off by {least:.3g}"
        else:
            out[menu.layer.name] = "the budget is met without it"
    return out


def _capped(plan: Plan, served: Sequence[Dish]) -> tuple[str, ...]:
    """What is said of layers whose full rank is less than what was asked for."""
    if plan.given is None or plan.given < 1:
        return ()
    less = [f"{d.how.layer.name} {' x '.join(map(str, d.candidate.rank))}" for d in served if min(d.how.full) < plan.given]
    what = "multiplier" if plan.name == "separable" else "rank"
    said = f"{what} = {plan.given:g} is more than some layers have, which got all of theirs: {', '.join(less)}"
    return (said,) if less else ()


def _warnings(plan: Plan, served: Sequence[Dish], batches: Sequence[object]) -> tuple[str, ...]:
    if not served:
        return ("nothing was rewritten: see what was declined, and why",)
    out = []
    if plan.name == "separable" and any(dish.candidate.rank[0] > 1 for dish in served):
        out.append(
            "depthwise convolutions use a core worse than dense ones do: with multipliers above 1 fewer MACs may take longer; "
            "measure with `edgekit bench`, or set highest = 1"
        )
    if "relu" in plan.between:
        out.append("an activation between the factors changes what they compute at once: fine-tune the network")
    if plan.between.startswith("bn") and not batches:
        out.append(
            "without data the batch norms between have no statistics: they change nothing as long as they are not trained, and "
            "normalise anew as soon as they are"
        )
    return tuple(out)
