"""Ops besides layers that mix channels: what they miss of removed ones no bias can make up for."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.removal import Gone
from edgekit.ir import Node, Value, ops

_NORMS = (ops.LayerNorm, ops.RmsNorm, ops.GroupNorm)
_LAYERS = (ops.Linear, ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d)
_REDUCTIONS = (ops.Mean, ops.Sum, ops.Amax, ops.Amin)


def not_made_up_for(analysis: Analysis, gone: Gone, node: Node) -> str:
    """Why removed channels that a node reads are missed, where it is no layer with weights; empty where none are."""

    def loses(value: Value | None, axis: int) -> bool:
        if value is None or value.is_constant:
            return False
        return bool(gone[analysis.coupling.axis(value, axis % value.type.rank)].any())

    x = node.inputs[0] if node.inputs else None
    if x is None:
        return ""
    if isinstance(node.op, _NORMS):
        axes = (1,) if isinstance(node.op, ops.GroupNorm) else tuple(range(-node.op.axes, 0))
        alone = isinstance(node.op, ops.GroupNorm) and node.op.groups == x.tensor_shape[1]
        return "its statistics are of the channels that stay" if not alone and any(loses(x, a) for a in axes) else ""
    if isinstance(node.op, _REDUCTIONS):
        reduced = node.op.axes or tuple(range(x.type.rank))
        return "it is taken of the channels that stay" if any(loses(x, a) for a in reduced) else ""
    if isinstance(node.op, _LAYERS):
        ends = (1 if node.op.groups == 1 else None) if not isinstance(node.op, ops.Linear) else -1
        return "its weight depends on the data" if ends is not None and loses(x, ends) else ""
    if isinstance(node.op, ops.Attention):
        return "its scores are products of channels" if loses(x, -1) else ""
    if isinstance(node.op, ops.Matmul):
        a, b = node.input(0), node.input(1)
        inner = -1 if node.op.transpose_b else -2
        why = "it is a product of two computed matrices" if not (a.is_constant or b.is_constant) else "it is several products"
        return why if min(a.type.rank, b.type.rank) > 1 and (loses(a, -1) or loses(b, inner)) else ""
    return ""


def label_of(node: Node, names: Mapping[int, str]) -> str:
    """What the user knows a node by: its weight, else its result."""
    constants = (value for value in node.inputs[1:] if value is not None and value.is_constant)
    return next((names[id(value)] for value in constants if id(value) in names), node.outputs[0].name)
