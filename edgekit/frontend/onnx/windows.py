"""Windows of convolutions and pools: strides, dilations and padding as ONNX writes them."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.frontend.onnx.context import Lowering

#: More than any window has, so that a damaged file asks for no impossible tensor.
_LARGEST = 2**20

Pads = tuple[tuple[int, int], ...]


def each(
    ctx: Lowering, setting: Sequence[int] | None, count: int, what: str, *, default: int = 1, least: int = 1
) -> tuple[int, ...]:
    """A setting per spatial dimension."""
    found = tuple(setting) if setting else (default,) * count
    ctx.need(len(found) == count, f"has {len(found)} {what} for {count} dimensions")
    ctx.need(all(least <= size <= _LARGEST for size in found), f"has the {what} {list(found)}")
    return found


def pads_of(
    ctx: Lowering,
    auto_pad: str,
    pads: Sequence[int] | None,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pads:
    """(low, high) per spatial dimension: given, or so that the result has ceil(size / stride) elements.

    SAME_UPPER puts the odd element at the end, SAME_LOWER at the beginning.
    """
    count = len(sizes)
    if auto_pad in ("", "NOTSET"):
        flat = tuple(pads) if pads else (0,) * (2 * count)
        ctx.need(len(flat) == 2 * count, f"has {len(flat)} pads for {count} dimensions")
        ctx.need(all(abs(size) <= _LARGEST for size in flat), f"has the pads {list(flat)}")
        return tuple(zip(flat[:count], flat[count:], strict=True))
    if auto_pad == "VALID":
        return ((0, 0),) * count
    ctx.need(auto_pad in ("SAME_UPPER", "SAME_LOWER"), f"has the auto_pad '{auto_pad}'")
    out: list[tuple[int, int]] = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        total = max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
        half = total // 2
        out.append((half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half))
    return tuple(out)
