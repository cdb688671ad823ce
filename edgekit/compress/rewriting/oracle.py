"""The rewritten graph against the one that was given with the products of the factors as its weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.compress.prune.oracle import TOLERANCE, difference, example, in_double
from edgekit.compress.rewriting.writing import Rewrite
from edgekit.errors import ParityError
from edgekit.ir import Graph
from edgekit.ir.module import GraphModule
from edgekit.ir.types import where_text

#: MACs above which one sample is compared instead of two.
_LARGE = 100_000_000


def check(graph: Graph, small: Graph, rewrites: Sequence[Rewrite], *, seed: int = 0) -> float:
    """The largest difference of an output, relative to its largest element. Both sides run in double precision.

    Args:
        graph: before.
        small: after, with nothing between the factors.
        rewrites: what was rewritten.
        seed: of the inputs.

    Raises:
        ParityError: a chain does not compute what a layer with the product of its factors does.
    """
    inputs = example(graph, 2 if graph.macs < _LARGE else 1, seed)
    reference = in_double(graph)
    value_of = dict(zip((id(v) for v in graph.values()), reference.values(), strict=True))
    for rewrite in rewrites:
        heights = [w.tensor_shape[0] for w in rewrite.layer.weights]
        rows = torch.split(rewrite.how.dense(rewrite.factors), heights)
        for weight, dense in zip(rewrite.layer.weights, rows, strict=True):
            value = value_of[id(weight)]
            value.data = torch.nn.Parameter(dense) if value.is_trainable else dense
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    with torch.no_grad():
        wanted = _on_cpu(reference).run([x.clone() for x in wide])
        got = _on_cpu(in_double(small)).run(wide)
    worst = 0.0
    for value, a, b in zip(graph.outputs, wanted, got, strict=True):
        error = difference(a, b)
        if not error <= TOLERANCE:
            raise ParityError(
                f"rewriting would change output '{value.name}' by {error:.2g} of its size beyond the error of its factors",
                where=where_text(value.producer.where) if value.producer else None,
                hint="this is a bug in edgekit: nothing was rewritten; please report the model's structure",
            )
        worst = max(worst, error)
    return worst


def _on_cpu(graph: Graph) -> GraphModule:
    module = graph.module().eval()
    module.to("cpu")
    return module
