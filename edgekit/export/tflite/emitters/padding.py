"""Padding in TensorFlow's terms: SAME or VALID where they mean the same numbers, else an operator before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.tflite.emission import Site
from edgekit.formats.tflite.model import NUMPY_OF, Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator, Padding


@dataclass(frozen=True)
class Window:
    """A window that slides along one dimension.

    Attributes:
        size: of the input.
        out: number of positions.
        reach: elements from the first to the last that the window covers, dilation included.
        stride: step.
        low: elements of padding before the input.
    """

    size: int
    out: int
    reach: int
    stride: int
    low: int

    @property
    def needed(self) -> int:
        """Elements that the windows cover beyond the input, both sides together (negative: they leave some out)."""
        return (self.out - 1) * self.stride + self.reach - self.size

    @property
    def is_same(self) -> bool:
        """TensorFlow's SAME: ceil(size / stride) positions and half of the padding, rounded down, before the input."""
        return self.out == -(-self.size // self.stride) and self.low == max(self.needed, 0) // 2

    @property
    def is_valid(self) -> bool:
        """TensorFlow's VALID: no padding, windows inside the input."""
        return self.low == 0 and self.needed <= 0 and self.out == (self.size - self.reach) // self.stride + 1

    @property
    def explicit(self) -> tuple[int, int]:
        """Padding before and behind that the windows cover; what they leave out is left out."""
        return self.low, max(self.needed - self.low, 0)


@dataclass(frozen=True)
class Plan:
    """How a kernel is told: its padding, and what is added to the two spatial dimensions before."""

    padding: Padding
    before: tuple[tuple[int, int], ...] | None


def plan(windows: Sequence[Window]) -> Plan:
    """The padding for a kernel with these windows.

    Only what the windows see counts: torch's symmetric padding of a strided convolution often adds a row behind the input
    that no window reaches.

    Raises:
        Unsupported: the padding is negative.
    """
    if any(window.low < 0 for window in windows):
        raise Unsupported("negative padding", hint="slice the input instead: x[..., n:]")
    if all(window.is_valid for window in windows):
        return Plan(Padding.VALID, None)
    if all(window.is_same for window in windows):
        return Plan(Padding.SAME, None)
    return Plan(Padding.VALID, tuple(window.explicit for window in windows))


def padded(site: Site, x: int, pads: Sequence[tuple[int, int]] | None, value: float | None = None) -> int:
    """``x`` (N, H, W, C) with padding around H and W: real zero, or ``value``."""
    if pads is None:
        return x
    shape = site.sheet.tensors[x].shape
    every = [(0, 0), *pads, (0, 0)]
    out = site.new_like(x, [size + low + high for size, (low, high) in zip(shape, every, strict=True)])
    write_pad(site, x, every, out, value)
    return out


def write_pad(site: Site, x: int, pads: Sequence[tuple[int, int]], out: int, value: float | None = None) -> None:
    """PAD, which adds real zeros (the zero point, if quantised), or PADV2 with a value of the tensor's own type."""
    inputs = [x, site.sheet.constant(np.array(pads, np.int32))]
    if value is None:
        site.write(BuiltinOperator.PAD, inputs, [out], Options("PadOptions"))
        return
    tensor = site.sheet.tensors[x]
    filler = np.array([value], NUMPY_OF[tensor.type])
    inputs.append(site.sheet.constant(filler, tensor.quantization))
    site.write(BuiltinOperator.PADV2, inputs, [out], Options("PadV2Options"))
