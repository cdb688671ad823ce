"""The student and its objective as one module, so that every process computes the whole step inside one forward."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.ir import Graph, Value, ops
from edgekit.train.batches import Batch, Feeding
from edgekit.train.memory_format import MemoryFormat
from edgekit.train.objective import Fed, Objective, Pass
from edgekit.train.task_loss import batch_axis


class Student(nn.Module):
    """Runs a batch through the graph and the objective over what came out.

    Attributes:
        network: the graph's module.
        along: what the objective trains along.
    """

    def __init__(self, graph: Graph, objective: Objective, feeding: Feeding) -> None:
        super().__init__()
        self.network = graph.module()
        self._format = MemoryFormat(graph)
        self._format.arrange(self.network)
        self.along = objective.modules
        self._feeding = feeding
        self._set(objective)

    def _set(self, objective: Objective) -> None:
        graph = self.network.graph
        known = {value.name for value in graph.values()}
        missing = [name for name in objective.watches if name not in known]
        if missing:
            raise UsageError(
                f"the objective looks at '{missing[0]}', which the graph does not have",
                where=graph.name,
                hint="print(graph.text()) shows the names of its values",
            )
        # Not registered: what it holds beside ``modules`` (teachers) is neither trained nor kept.
        object.__setattr__(self, "objective", objective)
        self._watched = frozenset(objective.watches)
        self._axis = batch_axis(graph.outputs[0])

    def forward(self, batch: Batch, epoch: int) -> tuple[dict[str, Tensor], Tensor]:
        """The objective's terms, and the first output with samples along axis 0."""
        inputs = self._feeding.inputs(batch)
        features: dict[str, Tensor] = {}

        def observe(value: Value, tensor: Tensor) -> None:
            if value.name in self._watched:
                features[value.name] = tensor.contiguous()

        try:
            found = self.network.run(self._format.going_in(inputs), observe if self._watched else None)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                f"a batch norm can't learn from one value, and a batch has {batch.size}",
                where="the training",
                hint="batch_size = 2 or more, or layers that need no statistics of a batch",
            ) from error
        outputs = self._format.coming_out(found)
        targets = batch.targets
        others = tuple(Fed(self._feeding.inputs(other), tuple(other.targets)) for other in batch.others)
        step = Pass(inputs, targets[0] if targets else None, outputs, features, epoch, tuple(targets[1:]), others)
        objective: Objective = self.objective  # type: ignore[assignment]
        first = outputs[0].detach()  # detached: only the terms lead back to parameters
        return objective(step), first.movedim(self._axis, 0) if self._axis else first

    def finish(self) -> None:
        """Leaves the network on the host, ready for use."""
        self.eval()
        self.to(torch.device("cpu"))
        self._format.restore(self.network)

    def scales(self) -> list[nn.Parameter]:
        """The trained scales of batch norms, each once."""
        found = {}
        for node in self.network.graph.nodes:
            weight = node.optional(1) if isinstance(node.op, ops.BatchNorm) else None
            if weight is not None and isinstance(weight.data, nn.Parameter) and weight.data.requires_grad:
                found[id(weight.data)] = weight.data
        return list(found.values())


def hits(output: Tensor, targets: list[Tensor]) -> Tensor | None:
    """How many samples have their largest score at their class; None where that means nothing."""
    if not targets or output.dim() != 2 or output.shape[1] < 2 or targets[0].is_floating_point():
        return None
    labels = targets[0].reshape(len(output), -1) if targets[0].numel() == len(output) else None
    return None if labels is None else (output.argmax(1) == labels[:, 0]).sum()


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch where the student is."""
    if device.type == "cpu":
        return batch
    others = tuple(on_device(other, device) for other in batch.others)
    return Batch([x.to(device, non_blocking=True) for x in batch.inputs], [y.to(device) for y in batch.targets], others)
