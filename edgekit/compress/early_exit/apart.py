"""Whether a network's samples go their own ways: only then can one leave before the others."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value
from edgekit.ir.types import Batch as BatchDim
from edgekit.ir.types import where_text
from edgekit.train.batches import Batch, Feeding, Samples

#: What a sample's values may differ by between a batch and alone, beside the largest of them: other kernels, other rounding.
_ROUNDING = 1e-3


def require_apart(graph: Graph, end: Value, samples: Samples, feeding: Feeding) -> None:
    """Runs two samples together and each alone.

    Raises:
        Unsupported: a value of one depends on the other; the first such place is named.
    """
    batch = next(iter(samples.validation()), None)
    if batch is None or batch.size < 2 or feeding.fixed is not None:
        return
    two = [tensor[:2] for tensor in batch.inputs]
    nodes = [node for node in graph.nodes if _has_rows(node.output) and node.output.type.is_float]
    together = _values(graph, nodes, feeding.inputs(Batch(two, [])))
    first, second = (_values(graph, nodes, feeding.inputs(Batch([x[i : i + 1] for x in two], []))) for i in range(2))
    for node, both, *alone in zip(nodes, together, first, second, strict=True):
        apart = torch.cat(alone)
        if (both - apart).abs().max() > _ROUNDING * apart.abs().max().clamp_min(1e-3):
            raise Unsupported(
                f"an exit in a network whose samples depend on each other: '{node.name}' of a sample is another one in a batch",
                where=where_text(node.where) if node.where else f"'{node.name}'",
                hint="operations over the batch (a mean over axis 0) made constants, or other axes",
            )
        if node.output is end:
            return


def _has_rows(value: Value) -> bool:
    first = value.shape[0] if value.shape else 1
    return isinstance(first, BatchDim) and first.multiple == 1


def _values(graph: Graph, nodes: list[Node], inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    shown = graph.copy()
    by_name = {value.name: value for value in shown.values()}
    shown.outputs, shown.signature = [by_name[node.name] for node in nodes], None
    with torch.no_grad():
        return [tensor.float() for tensor in shown.module().eval().run(inputs)]
