"""The graph's grammar: what must hold between passes."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.ir.graph import Graph, Node, Value, infer_types
from edgekit.ir.types import where_text


def verify(graph: Graph, touched: Iterable[Node] | None = None) -> None:
    """Checks the graph's structure, and the types of the ``touched`` nodes (default: all).

    Raises:
        AssertionError: with the name of the value or node and its place in the user's model.
    """
    _verify_structure(graph)
    for node in graph.nodes if touched is None else touched:
        types = infer_types(node.op, node.inputs, node.where)
        for output, type in zip(node.outputs, types, strict=True):
            assert output.type == type, (
                f"%{output.name} is declared {output.type} but computed {type} ({where_text(node.where)})"
            )


def _verify_structure(graph: Graph) -> None:
    known: set[int] = {id(v) for v in graph.inputs} | {id(v) for v in graph.state.values()}
    reads: dict[int, int] = {}
    for node in graph.nodes:
        for value in node.inputs:
            if value is None:
                continue
            assert value.is_constant or id(value) in known, f"{node!r} reads %{value.name} before it is computed"
            assert any(user is node for user in value.users), f"{value!r} does not know its reader {node!r}"
        for value in {id(v): v for v in node.inputs if v is not None}.values():
            reads[id(value)] = reads.get(id(value), 0) + 1
        for output in node.outputs:
            assert output.producer is node, f"{output!r} has another producer than {node!r}"
            assert output.data is None, f"{output!r} is computed and constant at once"
            assert id(output) not in known, f"{output!r} is computed twice"
            known.add(id(output))
    for value in graph.outputs:
        assert value.is_constant or id(value) in known, f"the output %{value.name} is never computed"
    names: dict[str, Value] = {}
    for value in graph.values():
        assert names.setdefault(value.name, value) is value, f"two values are called '{value.name}'"
        assert len(value.users) == reads.get(id(value), 0), f"{value!r} lists readers that are not in the graph"
        if value.data is not None:
            assert tuple(value.data.shape) == value.type.shape, f"{value!r} holds data of shape {tuple(value.data.shape)}"
    in_state = {id(v) for v in graph.state.values()}
    for value in graph.constants():
        assert not value.is_trainable or id(value) in in_state, f"the parameter {value!r} is not in the graph's state"
