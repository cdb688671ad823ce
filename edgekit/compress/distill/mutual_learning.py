"""The compression step ``mutual_learning``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import takes_a_graph
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class MutualLearning(Training):
    """Trains the graph together with peers that learn from each other's predictions, with the fields of ``Training``.

    The peers are discarded afterwards. Source: Zhang et al. 2018, "Deep mutual learning", arXiv:1706.00384.

    Attributes:
        peers: networks: paths of ``.ekg`` or ``.pt2`` files, or ``package.module:callable``, with "@weights" behind if wished.
        copies: how many further peers are the same network with new initial weights.
        weight: of the divergence from the peers beside the task's loss.
    """

    peers: tuple[str, ...] = ()
    copies: int = 1
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        own = Fields("mutual_learning")
        own.names("peers", self.peers, 'peers = ["net:build"]')
        hint = "copies = 1 trains with one more network of the same form"
        own.whole("copies", self.copies, 0, hint)
        if not self.copies + len(self.peers):
            raise own.refusal("copies", "mutual learning needs a peer", hint)
        own.number("weight", self.weight, "above 0", "weight = 1.0", above=0)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A trained copy whose history has one record more.

        Args:
            graph: is left as it is.
            data: an ``edgekit.Data`` with ``train``, or what may stand for that.
            context: of the recipe.

        Raises:
            UsageError: no data, or a loss that became NaN.
            InputError, Unsupported: data or a peer does not fit.
        """
        from edgekit.compress.distill.application import mutual_learning

        return mutual_learning(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        given = super().options()
        if self.peers:
            given["peers"] = list(self.peers)
        if self.copies != 1:
            given["copies"] = self.copies
        if self.weight != 1.0:
            given["weight"] = self.weight
        return given
