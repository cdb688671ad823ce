"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.activation_range import BOTH, require, require_equal
from edgekit.ir.quant import QuantParams


def _bilinear_positions(
    size: int, output_size: int, align_corners: bool, half_pixel_centers: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lower and upper index and the position above the lower one in 1/1024, for each output index."""
    scale = (1024 * size + output_size // 2) // output_size
    if align_corners and output_size > 1:
        scale = (1024 * (size - 1) + (output_size - 1) // 2) // (output_size - 1)
    position = torch.arange(output_size) * scale
    if half_pixel_centers:
        position = position + scale // 2 - 512
    # C's division, towards zero.
    lower = torch.div(position, 1024, rounding_mode="trunc").clamp(min=0)
    upper = torch.div(position + 1023, 1024, rounding_mode="trunc").clamp(max=size - 1)
    return lower, upper, position - 1024 * lower


def resize_bilinear(
    x: torch.Tensor,
    size: tuple[int, int],
    quant: QuantParams,
    output_quant: QuantParams,
    *,
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> torch.Tensor:
    """Bilinear interpolation of the integers with weights in 1/1024, rounded half away from zero. int8 (N, C, H, W).

    Raises:
        Unsupported: types other than int8, unequal scales, or both ways of placing the centres at once.
    """
    require("a bilinear resize", quant, output_quant, dtypes=BOTH)
    require_equal("a bilinear resize", quant, output_quant)
    if align_corners and half_pixel_centers:
        raise Unsupported(
            "TFLite resizes with aligned corners or with half-pixel centres, not both", hint="use align_corners=True alone"
        )
    y0, y1, dy = _bilinear_positions(x.shape[2], size[0], align_corners, half_pixel_centers)
    x0, x1, dx = _bilinear_positions(x.shape[3], size[1], align_corners, half_pixel_centers)
    wide = x.to(torch.int64)
    dy = dy[:, None]
    rows = wide[:, :, y0] * (1024 - dy) + wide[:, :, y1] * dy
    sums = rows[:, :, :, x0] * (1024 - dx) + rows[:, :, :, x1] * dx
    half = torch.where(sums > 0, 1 << 19, -(1 << 19))
    return torch.div(sums + half, 1 << 20, rounding_mode="trunc").to(x.dtype)


def nearest_indices(size: int, output_size: int, align_corners: bool, half_pixel_centers: bool) -> torch.Tensor:
    """The input index that each output index takes its value from, int64 (output_size,). Positions are float32."""
    step = (
        np.float32(size - 1) / np.float32(output_size - 1)
        if align_corners and output_size > 1
        else np.float32(size) / np.float32(output_size)
    )
    position = (np.arange(output_size, dtype=np.float32) + np.float32(0.5 if half_pixel_centers else 0.0)) * step
    index = np.floor(position + np.float32(0.5)) if align_corners else np.floor(position)
    return torch.from_numpy(np.clip(index, 0, size - 1).astype(np.int64))


def resize_nearest(
    x: torch.Tensor,
    size: tuple[int, int],
    quant: QuantParams,
    output_quant: QuantParams,
    *,
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> torch.Tensor:
    """Picks integers. Any type, (N, C, H, W).

    Raises:
        Unsupported: unequal scales.
    """
    require_equal("a nearest resize", quant, output_quant)
    rows = nearest_indices(x.shape[2], size[0], align_corners, half_pixel_centers)
    columns = nearest_indices(x.shape[3], size[1], align_corners, half_pixel_centers)
    return x[:, :, rows][:, :, :, columns]
