"""Pools."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from benchmarks.operators.row import function, layer, refused

IMAGE, SIGNAL = (4, 9, 8), (4, 17)

ROWS = (
    layer("nn.MaxPool1d", lambda x: nn.MaxPool1d(3, 2, 1), SIGNAL, moves=True),
    layer("nn.MaxPool1d, dilation 2", lambda x: nn.MaxPool1d(2, 1, 0, 2), SIGNAL, moves=True),
    layer("nn.MaxPool2d", lambda x: nn.MaxPool2d(2), IMAGE, moves=True),
    layer("nn.MaxPool2d, stride 2, padding 1", lambda x: nn.MaxPool2d(3, 2, 1), IMAGE, moves=True),
    layer("nn.MaxPool2d, ceil_mode", lambda x: nn.MaxPool2d(2, 2, ceil_mode=True), IMAGE, moves=True),
    layer("nn.MaxPool2d, ceil_mode and padding", lambda x: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE, moves=True),
    layer("nn.MaxPool2d, dilation 2", lambda x: nn.MaxPool2d((2, 3), 1, dilation=2), IMAGE, moves=True),
    function(
        "F.max_pool2d, return_indices, values read", lambda x: F.max_pool2d(x, 2, return_indices=True)[0], IMAGE, moves=True
    ),
    refused(
        "F.max_pool2d, return_indices, indices read",
        lambda x: F.max_pool2d(x, 2, return_indices=True),
        "result 1 of 'aten.max_pool2d_with_indices",
        IMAGE,
    ),
    layer("nn.AvgPool1d", lambda x: nn.AvgPool1d(3, 2, 1), SIGNAL),
    layer("nn.AvgPool2d", lambda x: nn.AvgPool2d(2), IMAGE),
    layer("nn.AvgPool2d, padding 1", lambda x: nn.AvgPool2d(3, 2, 1), IMAGE),
    layer("nn.AvgPool2d, padding 1, count_include_pad=False", lambda x: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    layer("nn.AvgPool2d, ceil_mode", lambda x: nn.AvgPool2d(2, 3, 1, ceil_mode=True), IMAGE),
    layer("nn.AvgPool2d, ceil_mode, count_include_pad=False", lambda x: nn.AvgPool2d(2, 3, 1, True, False), IMAGE),
    layer("nn.AvgPool2d, divisor_override", lambda x: nn.AvgPool2d(3, 2, 1, divisor_override=5), IMAGE),
    layer("nn.LPPool1d", lambda x: nn.LPPool1d(4, 3), SIGNAL),
    layer("nn.LPPool2d", lambda x: nn.LPPool2d(2, 2), IMAGE),
    layer("nn.AdaptiveAvgPool1d(1)", lambda x: nn.AdaptiveAvgPool1d(1), SIGNAL),
    layer("nn.AdaptiveAvgPool1d(5)", lambda x: nn.AdaptiveAvgPool1d(5), SIGNAL),
    layer("nn.AdaptiveAvgPool2d(1)", lambda x: nn.AdaptiveAvgPool2d(1), IMAGE),
    layer("nn.AdaptiveAvgPool2d, a divisor", lambda x: nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    layer("nn.AdaptiveAvgPool2d, windows that overlap alike", lambda x: nn.AdaptiveAvgPool2d((4, 8)), IMAGE),
    layer("nn.AdaptiveAvgPool2d, windows of two widths", lambda x: nn.AdaptiveAvgPool2d((5, 3)), IMAGE),
    layer("nn.AdaptiveAvgPool2d((None, 2))", lambda x: nn.AdaptiveAvgPool2d((None, 2)), IMAGE),
    layer("nn.AdaptiveMaxPool1d(5)", lambda x: nn.AdaptiveMaxPool1d(5), SIGNAL, moves=True),
    layer("nn.AdaptiveMaxPool2d(1)", lambda x: nn.AdaptiveMaxPool2d(1), IMAGE, moves=True),
    layer("nn.AdaptiveMaxPool2d, a divisor", lambda x: nn.AdaptiveMaxPool2d((3, 2)), IMAGE, moves=True),
    layer("nn.AdaptiveMaxPool2d, windows of two widths", lambda x: nn.AdaptiveMaxPool2d((5, 3)), IMAGE, moves=True),
    refused("nn.MaxPool3d", nn.MaxPool3d(2), "max_pool3d", (2, 5, 6, 7)),
    refused("nn.AvgPool3d", nn.AvgPool3d(2), "avg_pool3d", (2, 5, 6, 7)),
    refused("nn.AdaptiveAvgPool3d", nn.AdaptiveAvgPool3d(2), "adaptive_avg_pool3d", (2, 5, 6, 7)),
    refused("nn.FractionalMaxPool2d", nn.FractionalMaxPool2d(2, output_size=3), "random", IMAGE),
)
