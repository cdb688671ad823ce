"""Which forms of an op the integer kernels can be told; the others have float kernels alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.ir import ops


@dataclass(frozen=True)
class _Windows:
    """Windows along one dimension: the input's size, their number, kernel, stride, and padding before the input."""

    size: int
    out: int
    kernel: int
    stride: int
    low: int

    @property
    def beyond(self) -> int:
        """Elements that they cover beyond the input, both sides together."""
        return (self.out - 1) * self.stride + self.kernel - self.size

    @property
    def valid(self) -> bool:
        """TensorFlow's VALID."""
        return self.low == 0 and self.beyond <= 0 and self.out == (self.size - self.kernel) // self.stride + 1

    @property
    def same(self) -> bool:
        """TensorFlow's SAME."""
        return self.out == -(-self.size // self.stride) and self.low == max(self.beyond, 0) // 2

    @property
    def centred(self) -> bool:
        """Every window is centred on an element: with stride 1 the kernel then has all of them among its results."""
        first = (self.kernel - 1) // 2 - self.low
        return self.kernel % 2 == 1 and first >= 0 and first + (self.out - 1) * self.stride < self.size

    def with_zeros(self) -> _Windows:
        """The padding as elements of the input."""
        return _Windows(self.size + 2 * self.low, self.out, self.kernel, self.stride, 0)


def averages_in_integers(op: ops.AvgPool1d | ops.AvgPool2d, sizes: Sequence[int], outs: Sequence[int]) -> bool:
    """Whether TFLite's AVERAGE_POOL_2D divides by what torch divides by, at every position.

    The kernel counts elements of the input alone, and a correction by position would round twice.

    Args:
        op: the pool.
        sizes: of the input, spatial dimensions.
        outs: of the result.
    """
    if getattr(op, "divisor", None) is not None:
        return False
    rows = zip(sizes, outs, op.kernel, op.stride, op.padding, strict=True)
    windows = [_Windows(*row) for row in rows]
    padded = any(window.low for window in windows)
    if padded and op.count_include_pad:
        if all(window.beyond - window.low <= window.low for window in windows):
            return True
        windows = [window.with_zeros() for window in windows]
    told = all(window.valid for window in windows) or all(window.same for window in windows)
    return told or all(window.centred for window in windows)


def resizes_by_ratio(op: ops.Resize, sizes: Sequence[int]) -> bool:
    """Whether positions follow from the sizes alone, as in TFLite's RESIZE_BILINEAR, and not from a scale factor.

    Args:
        op: the resize.
        sizes: of the input, spatial dimensions.
    """
    if op.scales is None or op.align_corners:
        return True
    return all(scale * size == out for scale, size, out in zip(op.scales, sizes, op.size, strict=True))
