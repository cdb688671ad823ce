"""How a graph from a file is called: one positional tensor for each input, and a tensor or a tuple back."""

from __future__ import annotations

from torch.utils import _pytree as pytree

from edgekit.ir import Graph, Signature


def call_signature(graph: Graph) -> Signature:
    """The signature of a graph whose inputs and outputs are set."""
    names = tuple(value.name for value in graph.inputs)
    arguments = pytree.tree_structure((tuple(range(len(names))), {}))
    results = pytree.tree_structure(0 if len(graph.outputs) == 1 else tuple(range(len(graph.outputs))))
    slots = tuple(range(len(graph.outputs)))
    return Signature(
        names,
        pytree.treespec_dumps(arguments),
        pytree.treespec_dumps(results),
        tuple(range(len(names))),
        (None,) * len(names),
        slots,
        (None,) * len(slots),
    )
