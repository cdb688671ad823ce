"""The compression step ``separable``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import takes_a_graph
from edgekit.compress.rewriting.options import Rewriting

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: What may stand between the depthwise and the pointwise convolution.
BETWEEN = ("none", "bn", "relu", "relu6", "bn_relu", "bn_relu6")

_OWN = Fields("separable")


@dataclass(frozen=True, kw_only=True)
class Separable(Rewriting):
    """Writes convolutions as a depthwise and a pointwise one, begun with the SVD of each input channel's filters.

    Exactly one of the amounts is given. A layer whose rewrite would take more MACs or parameters is left alone and named.
    After rewriting the graph is compared with its original, whose weights are replaced by the products, and refused on a
    mismatch.

    Attributes:
        multiplier: depthwise filters for each input channel, in every layer. k * k (or the number of output channels, if
            less) is exact. With the other amounts, each layer has its own.
        highest: the highest multiplier that the other amounts may choose.
        copies: a multiplier above 1 becomes a depthwise convolution of as many copies of the input instead of one with that
            multiplier: more memory, and less than half the instructions in LiteRT, whose kernels for multipliers are slow.
        between: "none", "bn", "relu", "relu6", "bn_relu" or "bn_relu6".
    """

    multiplier: int | None = None
    highest: int | None = None
    copies: bool = True
    between: str = "none"

    def __post_init__(self) -> None:
        hint = "error = 0.3 rewrites what comes so close; macs = 0.5 keeps half the multiply-accumulates; multiplier = 1"
        self._check("separable", ("multiplier",), hint)
        _OWN.whole(
            "multiplier", self.multiplier, 1, "multiplier = 1", means="a number of filters, whole and from 1", optional=True
        )
        _OWN.whole("highest", self.highest, 1, "highest = 1", optional=True)
        if self.highest is not None and self.multiplier is not None:
            what = "'highest' limits what macs, parameters or error choose, and 'multiplier' leaves nothing to choose"
            raise _OWN.refusal("highest", what, "leave one of them out")
        _OWN.word("between", self.between, BETWEEN, "layer between")

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
        from edgekit.compress.rewriting.application import Plan, apply
        from edgekit.compress.separable.depthwise import method

        activation = self.between.removeprefix("bn_") if "relu" in self.between else ""
        plan = Plan(
            "separable", (method(activation, self.copies, self.highest),), self.error, self.multiplier, between=self.between
        )
        return apply(self, plan, graph, data, root=(context or Context()).root)
