"""CONCATENATION, of as many tensors as a runtime takes at once."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.export.tflite.emission import Site
from edgekit.formats.tflite.model import Options
from edgekit.formats.tflite.schema_generated import BuiltinOperator

#: Inputs that TFLite Micro's kernel takes (kMaxInputNum in micro/kernels/concatenation.cc).
MOST_IN_MICRO = 10


def join(site: Site, tensors: Sequence[int], out: int, axis: int) -> None:
    """Write ``tensors`` one behind the other along a physical axis into ``out``; many in steps, for TFLite Micro."""
    parts = list(tensors)
    while site.to.micro and len(parts) > MOST_IN_MICRO:
        rows = [parts[start : start + MOST_IN_MICRO] for start in range(0, len(parts), MOST_IN_MICRO)]
        parts = [row[0] if len(row) == 1 else _joined(site, row, axis) for row in rows]
    _write(site, parts, out, axis)


def _joined(site: Site, tensors: Sequence[int], axis: int) -> int:
    shape = list(site.sheet.tensors[tensors[0]].shape)
    shape[axis] = sum(site.sheet.tensors[tensor].shape[axis] for tensor in tensors)
    out = site.new_like(tensors[0], shape)
    _write(site, tensors, out, axis)
    return out


def _write(site: Site, tensors: Sequence[int], out: int, axis: int) -> None:
    site.write(BuiltinOperator.CONCATENATION, tensors, [out], Options("ConcatenationOptions", {"axis": axis}))
