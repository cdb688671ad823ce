"""Scales and zero points of a file as the graph's ``QuantParams``. Integers are signed there: zero points move along."""

from __future__ import annotations

from edgekit.frontend.onnx.context import Lowering
from edgekit.frontend.onnx.element_types import type_name
from edgekit.ir import QuantParams, Value
from edgekit.ir.types import dtype_name

#: Unsigned types, their signed twins, and how far the zero point moves.
_SIGNED = {"uint8": ("int8", 128), "uint16": ("int16", 32768), "uint4": ("int4", 8)}
_TYPES = frozenset({"int4", "int8", "int16", "int32"})
_LOWEST = {"int4": -8, "int8": -128}


def stored_type(ctx: Lowering, zero_point: Value | None, output_dtype: int) -> str:
    """The integers' type: that of the zero point, else as said, else uint8."""
    if zero_point is not None:
        return ctx.building.widened.get(id(zero_point), dtype_name(zero_point.type.dtype))
    return type_name(output_dtype) if output_dtype else "uint8"


def parameters(ctx: Lowering, x: Value, scale: Value, zero_point: Value | None, kind: str, axis: int) -> QuantParams | None:
    """The parameters of a value; None where the graph has no such (other types, scales that are computed or no positive
    numbers).

    Args:
        ctx: the node.
        x: the real numbers, or the constant integers.
        scale: of the node.
        zero_point: likewise; None is zero.
        kind: the integers' type.
        axis: of scales for each channel.
    """
    if not scale.is_constant or (zero_point is not None and not zero_point.is_constant):
        return None
    scales = tuple(scale.tensor.detach().double().reshape(-1).tolist())
    zeros = [0] * len(scales) if zero_point is None else [int(z) for z in zero_point.tensor.reshape(-1).tolist()]
    signed, moved = _SIGNED.get(kind, (kind, 0))
    if signed not in _TYPES or len(zeros) != len(scales):
        return None
    at = None if len(scales) == 1 else ctx.axis(axis, x.type.rank)
    points = tuple(zero - moved for zero in zeros)
    narrow = bool(
        x.is_constant and signed in ("int4", "int8") and not any(points) and int(x.tensor.min()) - moved > _LOWEST[signed]
    )
    try:
        return QuantParams(signed, scales, points, at, narrow)
    except ValueError:
        return None
