"""The compression step ``equalize``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.compress.context import Context
from edgekit.compress.given import takes_a_graph

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class Equalize:
    """Moves scale between consecutive layers until the channels of their weights have equal ranges.

    Weights that share one scale then lose little to rounding. Without the options the function is kept: the outputs in
    float32 are compared with those before, and the step refuses where they differ by more than 1e-5 of their size. Batch
    norms are folded first.

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1.

    Attributes:
        replace_relu6: ReLU6 between two layers becomes ReLU, through which scale can move. That changes the function: what
            it does to the outputs is measured and reported.
        absorb_bias: what almost every sample adds to a channel moves through its ReLU into the next layer's bias (section
            4.1.3), which narrows the range of the activation; needs data. It changes the function a little: measured and
            reported likewise.
    """

    replace_relu6: bool = False
    absorb_bias: bool = False

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """An equalised graph whose history has one record more; layers left as they were are declined by name.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part), for ``absorb_bias`` and for measuring.
            context: of the recipe.

        Raises:
            UsageError: data is needed and missing.
            Unsupported: the graph is quantised.
            ParityError: the outputs would change.
        """
        from edgekit.compress.equalize.application import equalize

        return equalize(self, graph, data, root=(context or Context()).root)

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
