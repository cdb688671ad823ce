"""What may become of each layer: every candidate of every method that costs less, with its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from edgekit.compress.rewriting.factorization import Candidate, Factorization
from edgekit.compress.rewriting.layer import Layer

#: Candidates of a layer and method whose outputs are computed on data, at most.
_TRIED = 48


@dataclass(frozen=True, eq=False)
class Dish:
    """One choice for one layer.

    Attributes:
        how: the factorization. candidate: rank, costs and error of the weight.
        output_error: ||y - y'|| / ||y|| of the layer's outputs on data; None without data.
        extra: parameters beyond the factors' (a batch norm between).
    """

    how: Factorization
    candidate: Candidate
    output_error: float | None = None
    extra: int = 0

    @property
    def error(self) -> float:
        """What choices are made by."""
        return self.candidate.error if self.output_error is None else self.output_error

    def cost(self, measure: str) -> int:
        """MACs or parameters."""
        return self.candidate.macs if measure == "macs" else self.candidate.parameters + self.extra


@dataclass(eq=False)
class Menu:
    """All choices for one layer beside leaving it as it is; ``reason`` says why there are none."""

    layer: Layer
    dishes: list[Dish] = field(default_factory=list)
    reason: str = ""

    def cost(self, measure: str) -> int:
        """Of the layer as it is."""
        return self.layer.macs if measure == "macs" else self.layer.parameters


def make_menu(
    layer: Layer,
    methods: Sequence[type[Factorization]],
    *,
    measure: str,
    round_to: int = 1,
    given: float | None = None,
    allow_dearer: bool = False,
    rows: torch.Tensor | None = None,
    extra_per_channel: int = 0,
) -> Menu:
    """Candidates of the methods that fit the layer.

    Args:
        layer: to be rewritten.
        methods: to try.
        measure: what is to fall, "macs" or "parameters".
        round_to: ranks are multiples of it.
        given: the only rank to try, instead of all.
        allow_dearer: keep candidates that cost more than the layer.
        rows: patches (n, I * kernel) of its input, to take the errors of its outputs on.
        extra_per_channel: parameters that each channel between the factors costs besides.
    """
    menu = Menu(layer)
    reasons = []
    cheapest: Dish | None = None
    for method in methods:
        reason = method.refuses(layer)
        if reason:
            reasons.append(reason)
            continue
        how = method(layer)
        if given is None:
            found = how.candidates(measure, round_to)
        else:
            rank = how.given(given, round_to)
            found = [how.candidate(rank, how.error_of(how.draft(rank)))]
        dishes = [Dish(how, c, extra=extra_per_channel * how.shapes(c.rank)[0][0]) for c in found]
        cheap = [d for d in dishes if allow_dearer or _is_cheaper(d, layer)]
        cheapest = min([*dishes, *([cheapest] if cheapest else [])], key=lambda d: d.cost(measure))
        menu.dishes += cheap if rows is None else _judged(_thinned(cheap), rows)
    if not menu.dishes:
        menu.reason = _dearer(cheapest, layer) if cheapest is not None else "; ".join(dict.fromkeys(reasons))
    return menu


def _is_cheaper(dish: Dish, layer: Layer) -> bool:
    macs, parameters = dish.cost("macs"), dish.cost("parameters")
    no_more = macs <= layer.macs and parameters <= layer.parameters
    return no_more and (macs, parameters) != (layer.macs, layer.parameters)


def _dearer(dish: Dish, layer: Layer) -> str:
    rank = " x ".join(map(str, dish.candidate.rank))
    return (
        f"it would cost more: {dish.how.method} of rank {rank} takes {layer.parameters:,} parameters to "
        f"{dish.cost('parameters'):,} and {layer.macs:,} MACs to {dish.cost('macs'):,}"
    )


def _thinned(dishes: list[Dish]) -> list[Dish]:
    """At most so many, evenly along the row."""
    if len(dishes) <= _TRIED:
        return dishes
    picks = sorted({round(i * (len(dishes) - 1) / (_TRIED - 1)) for i in range(_TRIED)})
    return [dishes[i] for i in picks]


def _judged(dishes: list[Dish], rows: torch.Tensor) -> list[Dish]:
    """With the errors of the layer's outputs on patches."""
    if not dishes:
        return []
    wanted = rows @ dishes[0].how.layer.dense.flatten(1).T
    size = wanted.norm().clamp_min(1e-300)
    out = []
    for dish in dishes:
        got = dish.how.outputs(dish.how.draft(dish.candidate.rank), rows)
        out.append(replace(dish, output_error=float((wanted - got).norm() / size)))
    return out
