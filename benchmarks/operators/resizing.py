"""Resizing and sampling."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.operators.row import function, layer, refused

IMAGE, SIGNAL = (4, 9, 8), (4, 17)


def _sampled(x: Tensor) -> Tensor:
    return F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)


ROWS = (
    layer("nn.Upsample, nearest, twice", lambda x: nn.Upsample(scale_factor=2), IMAGE, moves=True),
    layer("nn.Upsample, nearest, to a size", lambda x: nn.Upsample((13, 7)), IMAGE, moves=True),
    layer("nn.Upsample, nearest, of a signal", lambda x: nn.Upsample(scale_factor=3), SIGNAL, moves=True),
    function("F.interpolate, nearest, smaller", lambda x: F.interpolate(x, scale_factor=0.5), IMAGE, moves=True),
    function("F.interpolate, nearest-exact", lambda x: F.interpolate(x, (13, 7), mode="nearest-exact"), IMAGE, moves=True),
    layer("nn.Upsample, bilinear, twice", lambda x: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    layer("nn.Upsample, bilinear, to a size", lambda x: nn.Upsample((13, 7), mode="bilinear"), IMAGE),
    layer("nn.Upsample, bilinear, align_corners", lambda x: nn.Upsample((17, 15), mode="bilinear", align_corners=True), IMAGE),
    layer("nn.Upsample, bilinear, 1.3 times", lambda x: nn.Upsample(scale_factor=1.3, mode="bilinear"), IMAGE),
    layer("nn.Upsample, linear", lambda x: nn.Upsample(scale_factor=2, mode="linear"), SIGNAL),
    layer("nn.Upsample, linear, align_corners", lambda x: nn.Upsample(33, mode="linear", align_corners=True), SIGNAL),
    function("F.interpolate, area", lambda x: F.interpolate(x, (3, 4), mode="area"), IMAGE),
    refused("nn.Upsample, bicubic", nn.Upsample(scale_factor=2, mode="bicubic"), "bicubic", IMAGE),
    refused("nn.Upsample, trilinear", nn.Upsample(scale_factor=2, mode="trilinear"), "trilinear", (2, 3, 4, 5)),
    refused("F.interpolate, antialias", lambda x: F.interpolate(x, (4, 4), mode="bilinear", antialias=True), "_aa", IMAGE),
    refused("F.grid_sample", _sampled, "grid_sampler", IMAGE),
)
