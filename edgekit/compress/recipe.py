"""Steps in order, with what each of them cost: resumable, and the same in Python and in ``edgekit.toml``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.compress.given import require_graph
from edgekit.compress.order import require_order
from edgekit.compress.steps import Step
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class Recipe:
    """Ordered compression steps.

    Attributes:
        steps: such as ``[Prune(macs=0.5), FineTune(epochs=10)]``.

    Raises:
        UsageError: something that is no step, or a step that is known to refuse what those before it leave.
    """

    steps: Sequence[Step]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        for number, step in enumerate(self.steps, 1):
            if isinstance(step, type) or not isinstance(step, Step):
                raise UsageError(
                    f"step {number} of the recipe is no step, but {step!r}",
                    where="Recipe",
                    hint="for example Recipe([Prune(macs=0.5), FineTune(epochs=10)])",
                )
        require_order(self.steps)

    def apply(
        self,
        graph: Graph,
        data: object | None = None,
        *,
        folder: Path | str | None = None,
        root: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> Graph:
        """The graph after all steps; its history has one record more for each, with the metrics before and after.

        With a ``folder``, finished steps are kept there, and steps that train keep checkpoints: a recipe that was killed, or
        whose later steps were changed, goes on from there and gives the result of an undisturbed run. They are found by a
        hash of the graph, the data, the versions and all steps up to them.

        Args:
            graph: float; is left as it is.
            data: an ``edgekit.Data`` (or what may stand for its training part).
            folder: where the work is kept.
            root: folder that the user's callables are imported from.
            say: is told what goes on, a line at a time.

        Raises:
            EdgekitError: what a step raises; the steps before it are kept.
        """
        from edgekit.compress.application import apply_steps

        require_graph(graph)
        kept = None if folder is None else Path(folder)
        return apply_steps(self.steps, graph, data, folder=kept, root=root, say=say)
