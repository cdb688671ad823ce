"""Which weights are rounded to how many bits."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.compress.names import check_names, closest_that_covers
from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.weight_kernels import BY_DEFAULT, kind_of
from edgekit.ir import Graph, Node


def weight_types(graph: Graph, default: str, layers: Mapping[str, str], edges: bool) -> dict[str, str]:
    """The type of each quantised weight of a convolution or linear layer, by the weight's name.

    Args:
        graph: quantised.
        default: "int8", "int4" or "int2"; depthwise and transposed convolutions keep 8 bits, because theirs are few bytes,
            lose most, and leave the fast kernels.
        layers: types by name of a weight, as ``edgekit.compress.names`` takes them; the closest counts.
        edges: first and last layers have 8 bits, unless ``layers`` names them.

    Raises:
        UsageError: ``layers`` names what the graph does not have.
    """
    nodes = [n for n in graph.nodes if isinstance(n.op, WEIGHTED) and n.input(1).is_constant and n.input(1).quant is not None]
    outer = ends(graph, nodes) if edges else set()
    names = [node.input(1).name for node in nodes]
    check_names("layers", layers, names, of="a layer in integers", where=graph.name)
    found = {}
    for node, name in zip(nodes, names, strict=True):
        named = closest_that_covers(layers, name)
        wide = id(node) in outer or kind_of(node) not in BY_DEFAULT
        found[name] = layers[named] if named is not None else "int8" if wide else default
    return found


def ends(graph: Graph, nodes: list[Node]) -> set[int]:
    """Layers (by id) before or behind which there is no other."""
    weighted = {id(node) for node in nodes}
    after: set[int] = set()  # nodes behind some layer
    for node in graph.nodes:
        producers = [v.producer for v in node.inputs if v is not None and v.producer is not None]
        if any(id(p) in after or id(p) in weighted for p in producers):
            after.add(id(node))
    before: set[int] = set()
    for node in reversed(graph.nodes):
        users = [user for v in node.outputs for user in v.users]
        if any(id(u) in before or id(u) in weighted for u in users):
            before.add(id(node))
    return {key for key in weighted if key not in after or key not in before}
