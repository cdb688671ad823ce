"""The compression step ``born_again``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.given import takes_a_graph
from edgekit.train.distillation.settings import SOURCE, Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: As in the paper: the teacher's own probabilities, and labels beside them.
_AS_PUBLISHED = Distillation(temperature=1.0, alpha=0.5)


@dataclass(frozen=True)
class BornAgain(Training):
    """Trains the same network anew by its own predictions, generation after generation, with the fields of ``Training``.

    The graph that is given is the first teacher; each generation starts from new weights and is the next one's teacher. Source:
    Furlanello et al. 2018, "Born again neural networks", arXiv:1805.04770.

    Attributes:
        generations: how many are trained.
        ensemble: the result is the mean of all trained generations' outputs in one graph, as many times as large, instead of
            the last one. Logits are averaged where the graph ends in logits, probabilities where it ends in them.
        distillation: how each learns from the one before.
    """

    generations: int = 2
    ensemble: bool = False
    distillation: Distillation = _AS_PUBLISHED

    def __post_init__(self) -> None:
        super().__post_init__()
        own = Fields("born_again")
        own.whole("generations", self.generations, 1, "generations = 2")
        if self.distillation.teachers != (SOURCE,):
            raise own.refusal("teachers", "the teacher of a generation is the one before", 'leave teachers at ["source"]')

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """The last generation, or the ensemble; its history has one record more, with every generation's curves.

        Args:
            graph: trained; is left as it is.
            data: an ``edgekit.Data`` with ``train``, or what may stand for that.
            context: of the recipe.

        Raises:
            UsageError: no data, or a loss that became NaN.
            InputError, Unsupported: data that does not fit.
        """
        from edgekit.compress.distill.application import born_again

        return born_again(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        given = super().options()
        if self.generations != 2:
            given["generations"] = self.generations
        if self.ensemble:
            given["ensemble"] = True
        if self.distillation != _AS_PUBLISHED:
            given["distillation"] = self.distillation.options()
        return given
