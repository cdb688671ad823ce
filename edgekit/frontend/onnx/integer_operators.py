"""Operators on integers (the QOperator form of ONNX Runtime's quantiser) as real ones between integers and their scales.

``QLinearConv(x, s, z, w, s_w, z_w, s_y, z_y, b)`` is ``QuantizeLinear(Conv(DequantizeLinear(x), DequantizeLinear(w), ...))`` by
ONNX's definition, and what stands between such operators (MaxPool, Reshape) moves integers under the scale that they come
with. So both forms of a file become one before it is translated, and its scales become those of the values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.frontend.onnx.integers_apart import ONNX, Declined, Expansion, Rewriting, node_for

_MICROSOFT = "com.microsoft"
#: Operators of one input (x, its scale and zero point, those of y), by the operator on real numbers.
_UNARY = {
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearSoftmax": "Softmax",
    "QLinearReduceMean": "ReduceMean",
}  # fmt: skip
_BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}


def with_real_operators(model: Any, folder: Path | None, where: str) -> Any:
    """The model with every such operator written around real numbers; the model itself where it has none.

    An operator whose scales are computed at run time stays, and is refused by its name like others without a lowering.
    """
    if not any(_expansion(node) for node in model.graph.node):
        return model
    return Rewriting(model, folder, where, _expansion).run()


def _given(node: Any, count: int) -> list[str]:
    """The names of the first inputs, "" for one that is absent.

    Raises:
        Declined: there are more, or no output.
    """
    if len(node.input) > count or len(node.output) != 1:
        raise Declined("another form")
    return [*node.input, *[""] * (count - len(node.input))]


def _convolution(to: Rewriting, node: Any) -> None:
    x, s, z, w, s_w, z_w, s_y, z_y, b = _given(node, 9)
    inputs = [to.real(node, x, s, z), to.real(node, w, s_w, z_w, 0)]
    to.add(node, "Conv", inputs + ([to.bias(node, b, s, s_w)] if b else []), s_y, z_y)


def _product(to: Rewriting, node: Any) -> None:
    a, s, z, b, s_b, z_b, s_y, z_y = _given(node, 8)
    to.add(node, "MatMul", [to.real(node, a, s, z, -2), to.real(node, b, s_b, z_b, -1)], s_y, z_y)


def _gemm(to: Rewriting, node: Any) -> None:
    a, s, z, b, s_b, z_b, c, s_y, z_y = _given(node, 9)
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    if any(attribute.name == "alpha" and attribute.f != 1.0 for attribute in node.attribute):
        raise Declined("a factor in the scale of its bias")
    inputs = [to.real(node, a, s, z), to.real(node, b, s_b, z_b, 0 if turned else 1)]
    to.add(node, "Gemm", inputs + ([to.bias(node, c, s, s_b)] if c else []), s_y, z_y)


def _unary(to: Rewriting, node: Any) -> None:
    x, s, z, s_y, z_y = _given(node, 5)
    names = {attribute.name for attribute in node.attribute}
    if any(attribute.name == "channels_last" and attribute.i for attribute in node.attribute):
        raise Declined("channels last")
    if node.op_type == "QLinearSoftmax" and "axis" not in names:
        raise Declined("another default than ONNX's")
    to.add(node, _UNARY[node.op_type], [to.real(node, x, s, z)], s_y, z_y)


def _binary(to: Rewriting, node: Any) -> None:
    a, s_a, z_a, b, s_b, z_b, s_y, z_y = _given(node, 8)
    to.add(node, _BINARY[node.op_type], [to.real(node, a, s_a, z_a), to.real(node, b, s_b, z_b)], s_y, z_y)


def _joined(to: Rewriting, node: Any) -> None:
    s_y, z_y, *parts = node.input
    if len(parts) % 3 or not parts:
        raise Declined("another form")
    to.add(node, "Concat", [to.real(node, *parts[i : i + 3]) for i in range(0, len(parts), 3)], s_y, z_y)


def _renamed(to: Rewriting, node: Any) -> None:
    """The contributed form of an operator that ONNX has."""
    to.rewrite(node_for(node, node.op_type, list(node.input), list(node.output), node.attribute))


_OF_ONNX: dict[str, Expansion] = {"QLinearConv": _convolution, "QLinearMatMul": _product}
_OF_MICROSOFT: dict[str, Expansion] = {
    "QGemm": _gemm,
    "QLinearConcat": _joined,
    "QuantizeLinear": _renamed,
    "DequantizeLinear": _renamed,
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
}


def _expansion(node: Any) -> Expansion | None:
    table = _OF_MICROSOFT if node.domain == _MICROSOFT else _OF_ONNX if node.domain in ONNX else {}
    return table.get(node.op_type)
