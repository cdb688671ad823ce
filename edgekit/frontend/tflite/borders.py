"""Where integers and floats meet: one ``identity`` at every border.

A file's own QUANTIZE and DEQUANTIZE are such. Others stand between the parts of an operator that the graph has as several
ops: what is computed between integers is float.
"""

from __future__ import annotations

from edgekit.ir import Graph, Node, Value, ops

#: Written between floats: comparisons want both operands under one scale, recurrent layers have no integer form here.
_IN_FLOAT = (
    *(ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual),
    *(ops.Lstm, ops.Gru, ops.Rnn),
)


#: Written between floats: comparisons want both operands under one scale, recurrent layers have no integer form here.
_IN_FLOAT = (
    *(ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual),
    *(ops.Lstm, ops.Gru, ops.Rnn),
)


def mend(graph: Graph) -> None:
    """Puts an ``identity`` between a node in integers and floats that it reads, and the other way round."""
    made: dict[int, Value] = {}
    for node in list(graph.nodes):
        if isinstance(node.op, ops.Identity):
            continue
        given = [v for v in node.inputs if v is not None and not v.is_constant and v.type.is_float]
        results = [v for v in node.outputs if v.type.is_float]
        quantized = [v.quant is not None for v in (*given, *results)]
        if not given or not any(quantized) or (all(quantized) and not isinstance(node.op, _IN_FLOAT)):
            continue
        for place, value in enumerate(node.inputs):
            if value is not None and value.quant is not None and not value.is_constant and value.type.is_float:
                if id(value) not in made:
                    made[id(value)] = graph.add(
                        ops.Identity(), value, name=f"{value.name}.float", where=node.where, before=node
                    )
                graph.set_input(node, place, made[id(value)])
        for value in results:
            if value.quant is not None:
                _quantize_after(graph, node, value)


def _quantize_after(graph: Graph, node: Node, value: Value) -> None:
    """The node gives a float, an ``identity`` behind it the integers under the old name."""
    readers, place = list(value.users), graph.nodes.index(node) + 1
    before = graph.nodes[place] if place < len(graph.nodes) else None
    quantized = graph.add(ops.Identity(), value, name=f"{value.name}.quantized", where=node.where, before=before)
    quantized.quant, value.quant = value.quant, None
    for reader in readers:
        for index, seen in enumerate(reader.inputs):
            if seen is value:
                graph.set_input(reader, index, quantized)
    graph.outputs = [quantized if v is value else v for v in graph.outputs]
    value.name, quantized.name = quantized.name, value.name
