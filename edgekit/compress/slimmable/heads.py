"""Last layers that each size has for itself: they cost little, and what they read need not mean the same at every size."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.slimmable.nested import Nested
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value

#: "auto" gives sizes last layers of their own where all of these together have at most this share of the network's parameters.
AUTO = 0.02


def heads_of(graph: Graph, nested: Sequence[Nested], how: str) -> tuple[str, ...]:
    """Names in the state of what the last layers read, where smaller sizes have their own; () where they share them.

    Args:
        graph: the whole network.
        nested: the smaller sizes.
        how: "shared", "own" or "auto".

    Raises:
        Unsupported: "own", and no layer is the last one, or another layer reads its weight too.
    """
    if how == "shared":
        return ()
    found = _names(graph)
    if how == "own":
        if not found:
            raise Unsupported(
                "no last layer could be each size's own: its weight is no constant, or other layers read it too",
                where=graph.name,
                hint='heads = "shared"',
            )
        return found
    # A size of lesser depth may be without the block that such a layer is in.
    states = [each.graph.state for each in nested]
    further = sum(state[name].tensor.numel() for state in states for name in found if name in state)
    return found if further <= AUTO * graph.parameters else ()


def _names(graph: Graph) -> tuple[str, ...]:
    """First names of the constants of layers behind which there is no other layer."""
    names: dict[int, str] = {}
    for name, value in graph.state.items():
        names.setdefault(id(value), name)
    read = [value for node in _last(graph) for value in node.inputs[1:] if value is not None and value.is_trainable]
    return tuple(names[id(value)] for value in read if len(value.users) == 1 and id(value) in names)


def _last(graph: Graph) -> list[Node]:
    """Weighted layers whose answers reach the outputs through no other layer that has learned."""
    behind: set[int] = set()
    found: list[Node] = []
    for node in reversed(graph.nodes):
        users = [user for output in node.outputs for user in output.users]
        if any(id(user) in behind or _has_learned(user) for user in users):
            behind.add(id(node))
        elif isinstance(node.op, WEIGHTED) and node.input(1).is_constant and len(node.input(1).users) == 1:
            found.append(node)
    return found[::-1]


def _has_learned(node: Node) -> bool:
    """A layer, and not a norm: something with a trained constant of two axes or more."""
    return any(_is_weight(value) for value in node.inputs if value is not None)


def _is_weight(value: Value) -> bool:
    return value.is_trainable and value.tensor.dim() > 1
