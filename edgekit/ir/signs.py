"""Which integer values are signs: what exporters and quantisation of binary networks recognise them by."""

from __future__ import annotations

from edgekit.ir import ops
from edgekit.ir.graph import Node, Value
from edgekit.ir.quant import QuantParams

#: The integers of signs.
SIGNS = QuantParams("int8", (1.0,), (0,))

_LAYERS = (ops.Conv1d, ops.Conv2d, ops.Linear)
_CARRIERS = (ops.Reshape, ops.Permute, ops.MaxPool1d, ops.MaxPool2d, ops.AdaptiveMaxPool2d, ops.Concat, ops.Slice, ops.Split)


def are_signs(value: Value) -> bool:
    """Every element is +1 or -1 (and held so: an integer at scale 1)."""
    node = value.producer
    if node is None or value.quant != SIGNS:
        return False
    if isinstance(node.op, ops.BinarySign):
        return True
    if isinstance(node.op, _CARRIERS):
        return all(are_signs(v) for v in node.inputs if v is not None and not v.is_constant)
    return is_thresholded(node)


def is_thresholded(node: Node) -> bool:
    """An integer layer that compares its sums: they are clamped to [-1, 1] at scale 1, and never 0.

    ``edgekit.compress.binarize.thresholds`` writes them; no calibration comes to these scales.
    """
    return isinstance(node.op, _LAYERS) and node.op.activation == "relu_n1_to_1" and node.output.quant == SIGNS
