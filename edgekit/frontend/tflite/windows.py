"""TensorFlow's SAME and VALID as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from edgekit.formats.tflite.schema_generated import Padding
from edgekit.frontend.tflite.context import Lowering
from edgekit.ir import Value

#: Strides and windows beyond these, and padded inputs of more elements, are nobody's network; kernels overflow on them.
_LARGEST_STEP = 1 << 15
_LARGEST_PADDED = 1 << 27


def spatial(ctx: Lowering, x: Value) -> tuple[int, int]:
    """Height and width of a value (N, C, H, W)."""
    height, width = x.shape[2:] if x.type.rank == 4 else (None, None)
    if not isinstance(height, int) or not isinstance(width, int):
        raise ctx.damaged(f"it slides over {x.type}")
    return height, width


def same(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Padding before and behind for ``ceil(size / stride)`` positions: the odd element stands behind."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def pads(
    ctx: Lowering, x: Value, padding: int, reach: Sequence[int], stride: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding (low, high) of height and width for windows that reach over so many elements."""
    if padding not in (Padding.SAME, Padding.VALID):
        raise ctx.damaged(f"padding {padding}")
    if min(*stride, *reach) < 1 or max(*stride, *reach) > _LARGEST_STEP:
        raise ctx.damaged(f"strides {tuple(stride)} of windows of {tuple(reach)}")
    if padding == Padding.VALID:
        return (0, 0), (0, 0)
    height, width = (same(size, r, s) for size, r, s in zip(spatial(ctx, x), reach, stride, strict=True))
    padded = (
        x.type.numel(1)
        // max(prod(spatial(ctx, x)), 1)
        * prod(size + sum(pair) for size, pair in zip(spatial(ctx, x), (height, width), strict=True))
    )
    ctx.need(padded <= _LARGEST_PADDED, f"over {x.type} with windows of {tuple(reach)}")
    return height, width
