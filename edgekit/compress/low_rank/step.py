"""The compression step ``low_rank``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import takes_a_graph
from edgekit.compress.rewriting.options import Rewriting

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: Ways of writing a layer; "auto" takes the cheapest of them at the error asked for.
METHODS = ("auto", "svd", "tucker2", "spatial_svd")

_OWN = Fields("low_rank")


@dataclass(frozen=True, kw_only=True)
class LowRank(Rewriting):
    """Writes linear layers and convolutions as products of thinner ones.

    Exactly one of the amounts is given. A layer whose rewrite would take more MACs or parameters is left alone and named.
    After rewriting the graph is compared with its original, whose weights are replaced by the products, and refused on a
    mismatch.

    Attributes:
        energy: the share of each weight's squared norm that is kept, above 0 to 1: an error of sqrt(1 - energy), of weights.
        rank: of every layer: a share of its full rank below 1, the rank itself from 1 (both ranks of Tucker-2).
        method: "svd" (k x k to few channels, then 1 x 1), "tucker2" (1 x 1, small k x k, 1 x 1), "spatial_svd" (k x 1, then
            1 x k), or "auto": for each layer the cheapest at equal error.
        round_to: ranks are multiples of it: the width of the target's SIMD registers.
        iterations: of HOOI for Tucker-2, at most; 0 is HOSVD.
    """

    energy: float | None = None
    rank: float | None = None
    method: str = "auto"
    round_to: int = 1
    iterations: int = 10

    def __post_init__(self) -> None:
        hint = "energy = 0.9 keeps so much of every weight; macs = 0.5 keeps half the multiply-accumulates"
        self._check("low_rank", ("energy", "rank"), hint)
        _OWN.word("method", self.method, METHODS)
        means = "the share of a weight's squared norm that is kept, above 0 to 1"
        _OWN.number("energy", self.energy, means, "energy = 0.9", above=0, most=1, optional=True)
        if self.energy is not None and self.judge == "outputs":
            raise _OWN.refusal("energy", "'energy' is of weights", "error = 0.3 bounds the error of the outputs")
        means = "a share of the full rank below 1, or a whole number from 1"
        _OWN.number("rank", self.rank, means, "rank = 0.25, or rank = 8", above=0, optional=True)
        if self.rank is not None and self.rank > 1 and self.rank != int(self.rank):
            raise _OWN.refusal("rank", f"'rank' is {means}, not {self.rank}", "rank = 0.25, or rank = 8")
        if self.rank is not None and self.method == "auto":
            raise _OWN.refusal(
                "rank",
                "'rank' needs a method: one rank means other errors with each",
                'method = "svd" fits linear layers and convolutions; "tucker2" and "spatial_svd" fit convolutions',
            )
        _OWN.whole("round_to", self.round_to, 1, "round_to = 8")
        if self.rank is not None and self.rank >= 1 and self.rank % self.round_to:
            what = f"'rank' = {self.rank:g} is no multiple of 'round_to' = {self.round_to}"
            raise _OWN.refusal("rank", what, "leave round_to out, or give a share: rank = 0.25")
        _OWN.whole("iterations", self.iterations, 0, "iterations = 10")

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A rewritten graph whose history has one record more.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part), where an option needs it.
            context: of the recipe.

        Raises:
            UsageError: data is needed and missing, or a name is no layer's.
            OverBudget: the budget cannot be met.
            Unsupported: the graph is quantised.
            ParityError: the rewritten graph does not compute what it should.
        """
        from edgekit.compress.low_rank.methods import methods
        from edgekit.compress.rewriting.application import Plan, apply

        bound = self.error if self.energy is None else (1 - self.energy) ** 0.5
        plan = Plan(
            "low_rank",
            methods(self.method, self.iterations),
            bound,
            self.rank,
            self.round_to,
            of_weights=self.energy is not None,
        )
        return apply(self, plan, graph, data, root=(context or Context()).root)
