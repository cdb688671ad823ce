"""What the whole network answers to a batch that it does not learn from."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from edgekit.compress.slimmable.nested import Running, first_names, of_norms
from edgekit.ir import Graph
from edgekit.train.objective import Fed


class Answers:
    """The whole network as it is at this step, in training mode as its smaller sizes are.

    No gradient is taken, and the running statistics of its batch norms stay as they are: they are those of its own batches.
    Autocast keeps casts of weights from pass to pass, so the whole network has to have run in this step with gradients before.

    Args:
        graph: of the whole network, with the names of its tensors; not the one that is trained.
        watches: names of values whose tensors are wanted beside the outputs.
    """

    def __init__(self, graph: Graph, watches: Collection[str]) -> None:
        self._running, self._watches = Running(graph), frozenset(watches)
        self._names = first_names(graph)
        self._kept = [name for name in of_norms(graph) if not graph.state[name].is_trainable]

    @torch.no_grad()
    def __call__(self, whole: Graph, batch: Fed) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Outputs and watched tensors.

        Args:
            whole: the graph that is trained.
            batch: of which.
        """
        tensors = {name: whole.state[name].tensor for name in self._names}
        tensors |= {name: tensors[name].clone() for name in self._kept}
        return self._running.learning(tensors, batch.inputs, self._watches)
