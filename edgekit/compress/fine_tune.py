"""The compression step ``fine_tune``: training between the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.controls.settings import Controls, check_controls
from edgekit.compress.given import plain, take_tables, takes_a_graph
from edgekit.train.distillation.settings import Distillation
from edgekit.train.settings import Training

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class FineTune(Training):
    """Trains the graph, with the fields of ``Training``.

    Attributes:
        distillation: the teachers, and how the student learns from them; None: from the labels alone.
        controls: where an earlier step pruned, the pruned architecture is trained from scratch too, for equal epochs and for
            equal compute, and the record has both beside this training's result; True, or ``Controls`` with settings.
    """

    distillation: Distillation | None = None
    controls: bool | Controls = False

    def __post_init__(self) -> None:
        take_tables(self, "fine_tune")
        super().__post_init__()
        check_controls(Fields("fine_tune"), self.controls, self.epochs)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A trained copy whose history has one record more; its ``details`` have the curves.

        Args:
            graph: is left as it is.
            data: an ``edgekit.Data`` with ``train``, or what may stand for that.
            context: of the recipe.

        Raises:
            UsageError: no data, nothing to train, controls where nothing was pruned, or a loss that became NaN.
            InputError: data or teacher does not fit.
        """
        from edgekit.compress.fine_tuning import fine_tune

        return fine_tune(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        given = super().options()
        if self.distillation is not None:
            given["distillation"] = self.distillation.options()
        if self.controls:
            given["controls"] = plain(self.controls)
        return given
