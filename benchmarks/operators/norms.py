"""Normalisation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from benchmarks.operators.row import function, layer, refused

IMAGE, SIGNAL, VECTOR = (4, 9, 8), (4, 17), (12,)

ROWS = (
    layer("nn.BatchNorm1d", lambda x: nn.BatchNorm1d(x[0]), VECTOR),
    layer("nn.BatchNorm1d over a signal", lambda x: nn.BatchNorm1d(x[0]), SIGNAL),
    layer("nn.BatchNorm2d", lambda x: nn.BatchNorm2d(x[0], eps=1e-3), IMAGE),
    layer("nn.BatchNorm2d, affine=False", lambda x: nn.BatchNorm2d(x[0], affine=False), IMAGE),
    layer("nn.BatchNorm2d before a convolution", lambda x: nn.Sequential(nn.BatchNorm2d(x[0]), nn.Conv2d(x[0], 5, 3)), IMAGE),
    refused(
        "nn.BatchNorm2d, track_running_stats=False", nn.BatchNorm2d(4, track_running_stats=False), "running statistics", IMAGE
    ),
    layer("nn.LayerNorm", lambda x: nn.LayerNorm(x[-1]), (7, 12)),
    layer("nn.LayerNorm of several axes", lambda x: nn.LayerNorm(list(x[-2:])), IMAGE),
    layer("nn.LayerNorm, bias=False", lambda x: nn.LayerNorm(x[-1], bias=False), (7, 12)),
    layer("nn.LayerNorm, elementwise_affine=False", lambda x: nn.LayerNorm(x[-1], elementwise_affine=False), (7, 12)),
    function(
        "F.layer_norm over channels of an image (ConvNeXt)",
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2),
        IMAGE,
    ),
    layer("nn.GroupNorm", lambda x: nn.GroupNorm(2, x[0]), IMAGE),
    layer("nn.GroupNorm, one group", lambda x: nn.GroupNorm(1, x[0]), SIGNAL),
    layer("nn.InstanceNorm1d", lambda x: nn.InstanceNorm1d(x[0]), SIGNAL),
    layer("nn.InstanceNorm2d, affine", lambda x: nn.InstanceNorm2d(x[0], affine=True), IMAGE),
    layer("nn.InstanceNorm2d, running statistics", lambda x: nn.InstanceNorm2d(x[0], track_running_stats=True), IMAGE),
    layer("nn.RMSNorm", lambda x: nn.RMSNorm(x[-1]), (7, 12)),
    layer("nn.RMSNorm of several axes", lambda x: nn.RMSNorm(list(x[-2:]), eps=1e-3), IMAGE),
    layer("nn.LocalResponseNorm", lambda x: nn.LocalResponseNorm(3), IMAGE),
)
