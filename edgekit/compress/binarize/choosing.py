"""Which layers become binary."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.names import check_names, first_that_covers
from edgekit.compress.qat.types import ends
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Node, ops

#: Layers with a weight that may be binary.
LAYERS = (ops.Conv1d, ops.Conv2d, ops.Linear)


def choose(graph: Graph, layers: Sequence[str], keep: Sequence[str]) -> tuple[list[Node], dict[str, str]]:
    """The layers to make binary, in order, and the weights of the others with the reason.

    Args:
        graph: float.
        layers: names of weights as ``edgekit.compress.names`` takes them; all but the first and last layer if empty.
        keep: likewise, of those that stay.

    Raises:
        Unsupported: the graph is quantised.
        UsageError: a name that is no weight's, or no layer is left.
    """
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported("making a quantised graph binary", where=graph.name, hint="make it binary first, quantise afterwards")
    nodes = [node for node in graph.nodes if isinstance(node.op, LAYERS) and node.input(1).is_constant]
    names = [node.input(1).name for node in nodes]
    for option, wishes in (("layers", layers), ("keep", keep)):
        check_names(option, wishes, names, of="a weight of a layer", where=graph.name)
    edges = ends(graph, nodes)
    chosen, declined = [], {}
    for node, name in zip(nodes, names, strict=True):
        named = first_that_covers(layers, [name]) is not None
        if stays := first_that_covers(keep, [name]):
            declined[name] = f"'keep' names '{stays}'"
        elif layers and not named:
            declined[name] = "it is not among 'layers'"
        elif reason := _unfit(node, named, id(node) in edges):
            declined[name] = reason
        else:
            chosen.append(node)
    if not chosen:
        raise UsageError(
            "there is no layer to make binary",
            where=graph.name,
            hint="the first and the last layer stay unless 'layers' names them; "
            + "; ".join(f"{name}: {reason}" for name, reason in list(declined.items())[:3]),
        )
    return chosen, declined


def _unfit(node: Node, named: bool, is_end: bool) -> str | None:
    weight = node.input(1)
    if not weight.is_trainable:
        return "it is not trained"
    if len(weight.users) > 1:
        return "several layers share it"
    if node.op.activation != "none":  # type: ignore[attr-defined]
        return "an activation is fused into its layer"
    if named:
        return None
    if is_end:
        return "first and last layers stay, unless 'layers' names them"
    if getattr(node.op, "groups", 1) > 1:
        return "a grouped convolution sums up too few products for signs, unless 'layers' names it"
    return None
