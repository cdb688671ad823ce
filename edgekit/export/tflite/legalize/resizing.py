"""Resizes that sample at other positions than TFLite's kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from edgekit.errors import Unsupported
from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.export.tflite.legalize.spatial_products import along_spatial_axes
from edgekit.ir import Node, Value, ops
from edgekit.ir.integer.expressible import resizes_by_ratio
from edgekit.ir.types import where_text


@dataclass(frozen=True)
class LowerResize(Lowering):
    """Nearest: a gather with a constant index per dimension. Bilinear: a product with a constant matrix per dimension."""

    kind = ops.Resize

    def lower(self, build: Build, node: Node, op: ops.Resize) -> Value:
        """Only where the kernel's positions are not the source's."""
        x = node.input(0)
        sizes = [size for size in x.type.shape[2:] if isinstance(size, int)]
        if op.mode == "nearest":
            rows = enumerate(zip(sizes, op.size, strict=True))
            # torch leaves a dimension of an image alone that keeps its size, whatever its factor.
            sources = [
                _nearest(size, out, None if size == out and len(sizes) == 2 else _scale(op, i)) for i, (size, out) in rows
            ]
            kernel = [_kernel_nearest(size, out) for size, out in zip(sizes, op.size, strict=True)]
            if all(torch.equal(a, b) for a, b in zip(sources, kernel, strict=True)):
                raise Skip("TFLite's RESIZE_NEAREST_NEIGHBOR")
            for axis, index in enumerate(sources):
                x = build(ops.Gather(axis + 2), x, build.tensor(index), quant=x.quant)
            return x
        if resizes_by_ratio(op, sizes):
            raise Skip("TFLite's RESIZE_BILINEAR")
        if node.output.quant is not None:
            raise Unsupported(
                f"a bilinear resize by the factors {op.scales} in integers",
                where=where_text(node.where),
                hint="a size instead of the factor, or factors that give whole sizes",
            )
        matrices = [_bilinear(size, op.size[i], _scale(op, i), op.align_corners) for i, size in enumerate(sizes)]
        return along_spatial_axes(build, x, [build.tensor(matrix) for matrix in matrices])


def _scale(op: ops.Resize, index: int) -> float | None:
    return None if op.scales is None else op.scales[index]


def _nearest(size: int, out: int, scale: float | None) -> torch.Tensor:
    """The index that torch reads for each output."""
    positions = torch.arange(size, dtype=torch.float32).reshape(1, 1, size)
    if scale is None:
        return F.interpolate(positions, size=out, mode="nearest").reshape(-1).long()
    return F.interpolate(positions, scale_factor=scale, mode="nearest", recompute_scale_factor=False).reshape(-1).long()


def _kernel_nearest(size: int, out: int) -> torch.Tensor:
    """The index that TFLite's kernel reads: floor(i * (size / out)) in float32."""
    ratio = torch.tensor(size, dtype=torch.float32) / torch.tensor(out, dtype=torch.float32)
    return (torch.arange(out, dtype=torch.float32) * ratio).floor().long().clamp(max=size - 1)


def _bilinear(size: int, out: int, scale: float | None, corners: bool) -> torch.Tensor:
    """The matrix (out, size) of torch's linear interpolation: its response to each unit vector."""
    units = torch.eye(size).reshape(size, 1, size)
    if scale is None:
        rows = F.interpolate(units, size=out, mode="linear", align_corners=corners)
    else:
        rows = F.interpolate(units, scale_factor=scale, mode="linear", align_corners=corners, recompute_scale_factor=False)
    return rows[:, 0, :].T.contiguous()
