"""What the whole network answers to a batch that it does not learn from."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from edgekit.compress.slimmable.nested import Running
from edgekit.ir import Graph, Value, ops
from edgekit.train.memory_format import MemoryFormat
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
        self._running, self._watches, self._format = Running(graph), frozenset(watches), MemoryFormat(graph)
        read = {id(v) for node in graph.nodes if isinstance(node.op, ops.BatchNorm) for v in node.inputs[1:] if v is not None}
        first = {id(value): name for name, value in reversed(graph.state.items())}  # of tied ones, one name stands for all
        self._names = [name for name, value in graph.state.items() if first[id(value)] == name]
        self._kept = {name for name in self._names if id(graph.state[name]) in read and not graph.state[name].is_trainable}

    @torch.no_grad()
    def __call__(self, whole: Graph, batch: Fed) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Outputs and watched tensors.

        Args:
            whole: the graph that is trained.
            batch: of which.
        """
        features: dict[str, Tensor] = {}

        def observe(value: Value, tensor: Tensor) -> None:
            if value.name in self._watches:
                features[value.name] = tensor.contiguous()

        tensors = {name: whole.state[name].tensor for name in self._names}
        tensors |= {name: tensors[name].clone() for name in self._kept}
        self._running.train(True)
        found = self._running.with_tensors(tensors, self._format.going_in(batch.inputs), observe)
        return self._format.coming_out(found), features
