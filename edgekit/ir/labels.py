"""What is worth saying of an op in a few words, for tables and drawings."""

from __future__ import annotations

from typing import Any

from edgekit.ir import ops
from edgekit.ir.graph import Node
from edgekit.ir.types import Batch

#: Attributes that the shapes show, or that matter little to a reader.
_SILENT = frozenset(
    {"activation", "shape", "eps", "momentum", "dropout", "sizes", "starts", "stops", "steps", "keepdim", "scales", "pads", "p"}
)


def op_title(node: Node) -> str:
    """The op's name; an ``identity`` at a border between integers and floats is called by what it does."""
    if not isinstance(node.op, ops.Identity):
        return node.op.name
    taken, given = node.input(0).quant is not None, node.output.quant is not None
    return {(False, True): "quantize", (True, False): "dequantize", (True, True): "requantize"}.get((taken, given), "identity")


def op_label(node: Node) -> str:
    """The attributes that a reader looks for: ``3×3, stride 2, groups 16, relu6``; empty where there are none."""
    op = node.op
    parts: list[str] = []
    if isinstance(op, ops.Conv1d | ops.Conv2d | ops.ConvTranspose1d | ops.ConvTranspose2d):
        parts.append(times(node.input(1).tensor_shape[2:]))
        parts += _sliding(op.stride, op.dilation)
        parts += _groups(node, op.groups)
    elif isinstance(op, ops.MaxPool1d | ops.MaxPool2d | ops.AvgPool1d | ops.AvgPool2d):
        parts.append(times(op.kernel))
        parts += _sliding(op.stride, getattr(op, "dilation", (1,)))
    elif isinstance(op, ops.Linear):
        parts.append(f"{node.input(1).tensor_shape[1]} → {node.input(1).tensor_shape[0]}")
    elif isinstance(op, ops.Lstm | ops.Gru | ops.Rnn):
        parts.append(f"{op.hidden} hidden")
        parts += [f"{op.layers} layers"] * (op.layers > 1) + ["bidirectional"] * op.bidirectional
    elif isinstance(op, ops.Clamp):
        parts.append(f"{_number(op.low, '-inf')} to {_number(op.high, 'inf')}")
    else:
        parts += [_attribute(name, value) for name, value in op.attributes().items() if _telling(op, name, value)]
    if (activation := getattr(op, "activation", "none")) != "none":
        parts.append(activation)
    return ", ".join(parts)


def times(sizes: tuple[Any, ...]) -> str:
    """``3×3``"""
    return "×".join(str(size) for size in sizes)


def _sliding(stride: tuple[int, ...], dilation: tuple[int, ...]) -> list[str]:
    out = []
    if any(s != 1 for s in stride):
        out.append(f"stride {stride[0] if len(set(stride)) == 1 else times(stride)}")
    if any(d != 1 for d in dilation):
        out.append(f"dilation {dilation[0] if len(set(dilation)) == 1 else times(dilation)}")
    return out


def _groups(node: Node, groups: int) -> list[str]:
    if groups == 1:
        return []
    return ["depthwise"] if groups == node.input(0).tensor_shape[1] else [f"groups {groups}"]


def _telling(op: ops.Op, name: str, value: Any) -> bool:
    """Shapes are on the drawing anyway; tolerances, defaults and what acts in training say little."""
    if name in _SILENT or value in (None, False, "none", "constant"):
        return False
    return not (name == "axes" and isinstance(value, int) and value == 1)


def _attribute(name: str, value: Any) -> str:
    if value is True:
        return name.replace("_", " ")
    if isinstance(value, tuple):
        listed = " ".join(str(item) for item in value)
        return listed if name == "dims" else f"{name} {listed}"
    if isinstance(value, float):
        return f"{name} {value:g}"
    return value if isinstance(value, str) else f"{name} {value}"


def _number(value: float | None, absent: str) -> str:
    return absent if value is None else f"{value:g}"


def shape_text(shape: tuple[int | Batch, ...]) -> str:
    """``N×16×32×32``; ``scalar`` for no dimensions."""
    return times(shape) or "scalar"
