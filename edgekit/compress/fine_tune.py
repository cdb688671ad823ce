"""The compression step ``fine_tune``: training between the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.compress.context import Context
from edgekit.train.distillation.settings import Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class FineTune(Training):
    """Trains the graph, with the fields of ``Training``.

    Attributes:
        distillation: the teachers, and how the student learns from them; None: from the labels alone.
    """

    distillation: Distillation | None = None

    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A trained copy whose history has one record more; its ``details`` have the curves.

        Args:
            graph: is left as it is.
            data: an ``edgekit.Data`` with ``train``, or what may stand for that.
            context: of the recipe.

        Raises:
            UsageError: no data, nothing to train, or a loss that became NaN.
            InputError: data or teacher does not fit.
        """
        from edgekit.compress.tuning import fine_tune

        return fine_tune(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        given = super().options()
        return given if self.distillation is None else {**given, "distillation": self.distillation.options()}
