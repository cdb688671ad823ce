"""Products whose inputs are quantised as the model runs (``onnxruntime.quantization.quantize_dynamic``), as real ones.

Such a file computes ``Cast(MatMulInteger(DynamicQuantizeLinear(x), w)) * (s_x * s_w)``: it rounds x to 8 bits with a scale of
that very x. What it stores in integers are weights. In the graph they are weights with ``quant`` beside float activations, as
those of a dynamic-range file of TFLite; the rounding of x is the runtime's.
"""

from __future__ import annotations

from typing import Any

from edgekit.frontend.onnx.integers_apart import ONNX, node_for

#: Operators on integers, the same on real numbers, and the axis of scales for each output channel of the weight.
_REAL = {"MatMulInteger": ("MatMul", -1), "ConvInteger": ("Conv", 0)}
_LEFTOVERS = frozenset({*_REAL, "DynamicQuantizeLinear", "Cast", "Mul"})


def with_real_products(model: Any) -> tuple[Any, int]:
    """The model with every such product on real numbers, and how many there are; the model itself where it has none."""
    if not any(node.op_type == "DynamicQuantizeLinear" for node in model.graph.node):
        return model, 0
    found = _Products(model.graph)
    nodes, count = [], 0
    for node in model.graph.node:
        real = found.real(node)
        nodes += [node] if real is None else real
        count += real is not None
    if not count:
        return model, 0
    out = type(model)()
    out.CopyFrom(model)
    del out.graph.node[:]
    out.graph.node.extend(_read(nodes, {value.name for value in model.graph.output}))
    return out, count


class _Products:
    """The products of a graph, by the node that gives their real result."""

    def __init__(self, graph: Any) -> None:
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._made = {name: node for node in graph.node for name in node.output if name}

    def real(self, node: Any) -> list[Any] | None:
        """The product on real numbers that a ``Mul`` ends; None where the node ends none."""
        if node.op_type != "Mul" or node.domain not in ONNX or len(node.input) != 2:
            return None
        for sums, scales in (node.input, node.input[::-1]):
            product, scaled = self._sums(sums), self._of(scales, "Mul")
            if product is None or scaled is None or len(product.input) < 3:
                continue
            quantised, weight, zero, *weight_zero = product.input
            source = self._of(quantised, "DynamicQuantizeLinear")
            if source is None or list(source.output)[::2] != [quantised, zero] or len(source.input) != 1:
                continue
            given = [name for name in scaled.input if name != source.output[1]]
            if len(given) == 1 and all(name in self._stored for name in (weight, given[0], *filter(None, weight_zero))):
                return self._written(node, product, source.input[0], given[0])
        return None

    def _sums(self, name: str) -> Any | None:
        """The operator on integers whose sums a name stands for, in floats."""
        cast = self._of(name, "Cast")
        found = None if cast is None else self._made.get(cast.input[0])
        return found if found is not None and found.op_type in _REAL and found.domain in ONNX else None

    def _of(self, name: str, kind: str) -> Any | None:
        node = self._made.get(name)
        return node if node is not None and node.op_type == kind and node.domain in ONNX and node.input else None

    def _written(self, end: Any, product: Any, x: str, scale: str) -> list[Any]:
        import onnx

        kind, axis = _REAL[product.op_type]
        weight, zero = product.input[1], product.input[3] if len(product.input) > 3 else ""
        name = f"{end.output[0]}/weight"
        several = len(self._stored[scale].dims) > 0
        attributes = [onnx.helper.make_attribute("axis", axis)] if several else []
        inputs = [weight, scale, *([zero] if zero else [])]
        return [
            node_for(product, "DequantizeLinear", inputs, [name], attributes),
            node_for(product, kind, [x, name], [end.output[0]], product.attribute),
        ]


def _read(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """The nodes without those that only the products on integers have read."""
    while True:
        wanted = outputs | {name for node in nodes for name in node.input}
        kept = [node for node in nodes if node.op_type not in _LEFTOVERS or wanted & set(node.output)]
        if len(kept) == len(nodes):
            return kept
        nodes = kept
