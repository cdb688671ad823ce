"""A drawing of a graph as SVG."""

from __future__ import annotations

from edgekit.diagram import Box, draw
from edgekit.diagram.svg import Kind
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.graph_json import portable
from edgekit.ir.labels import op_label, op_title, shape_text
from edgekit.ir.types import dtype_name


def to_svg(graph: Graph) -> str:
    """The graph from its inputs at the top to its outputs, constants left out.

    Ops with weights, joins of branches and, in a quantised graph, ops that stay float have colours of their own. Pointing
    at a box shows its name, its inputs and its place in the user's source. The picture follows the reader's light or dark
    scheme.
    """
    boxes: list[Box] = []
    edges: list[tuple[int, int]] = []
    number: dict[int, int] = {}
    integer = any(v.quant is not None for node in graph.nodes for v in node.outputs)
    for value in graph.inputs:
        number[id(value)] = len(boxes)
        boxes.append(_end(value, "input"))
    for node in graph.nodes:
        edges += [(number[id(v)], len(boxes)) for v in node.inputs if v is not None and id(v) in number]
        number.update((id(v), len(boxes)) for v in node.outputs)
        boxes.append(_box(node, integer))
    for value in graph.outputs:
        if id(value) in number:
            edges.append((number[id(value)], len(boxes)))
        boxes.append(_end(value, "output"))
    return draw(boxes, edges, description=f"{graph.name}: {len(graph.nodes)} ops")


def _end(value: Value, what: str) -> Box:
    return Box(value.name, "", f"{what} · {_type(value)}", f"{what} {value!r}", "end")


def _type(value: Value) -> str:
    kind = value.quant.dtype if value.quant is not None else dtype_name(value.type.dtype)
    return shape_text(value.type.shape) + ("" if kind == "float32" else f" · {kind}")


def _box(node: Node, integer: bool) -> Box:
    shapes = ", ".join(dict.fromkeys(_type(v) for v in node.outputs))
    return Box(op_title(node), op_label(node), shapes, f"{node!r}\n{portable(node.where)}", _kind(node, integer))


def _kind(node: Node, integer: bool) -> Kind:
    floats = [v for v in (*node.inputs, *node.outputs) if v is not None and not v.is_constant and v.type.is_float]
    if integer and floats and all(v.quant is None for v in floats):
        return "float"
    if any(v is not None and v.is_constant and v.type.rank > 1 for v in node.inputs):
        return "weighted"
    return "join" if len({id(v) for v in node.inputs if v is not None and not v.is_constant}) > 1 else "plain"
