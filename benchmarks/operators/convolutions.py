"""Convolutions and linear layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from benchmarks.operators.row import function, layer, refused

IMAGE, SIGNAL = (4, 9, 8), (4, 17)

ROWS = (
    layer("nn.Conv1d", lambda x: nn.Conv1d(x[0], 6, 3), SIGNAL),
    layer("nn.Conv1d, stride 2, padding 2", lambda x: nn.Conv1d(x[0], 6, 5, 2, 2), SIGNAL),
    layer("nn.Conv1d, dilation 2, groups 2", lambda x: nn.Conv1d(x[0], 2 * x[0], 3, 1, 2, 2, 2), SIGNAL),
    layer("nn.Conv1d, depthwise", lambda x: nn.Conv1d(x[0], x[0], 3, 1, 1, groups=x[0]), SIGNAL),
    layer("nn.Conv1d, kernel 1", lambda x: nn.Conv1d(x[0], 5, 1), SIGNAL),
    layer("nn.Conv1d, padding='same'", lambda x: nn.Conv1d(x[0], 5, 4, padding="same"), SIGNAL),
    layer(
        "nn.Conv1d, causal", lambda x: nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(x[0], 5, 3, dilation=2)), SIGNAL
    ),
    layer("nn.Conv2d", lambda x: nn.Conv2d(x[0], 6, 3), IMAGE),
    layer("nn.Conv2d, without bias", lambda x: nn.Conv2d(x[0], 6, 3, bias=False), IMAGE),
    layer("nn.Conv2d, stride 2, padding 1", lambda x: nn.Conv2d(x[0], 6, 3, 2, 1), IMAGE),
    layer("nn.Conv2d, uneven kernel, stride and padding", lambda x: nn.Conv2d(x[0], 6, (3, 2), (2, 1), (1, 0)), IMAGE),
    layer("nn.Conv2d, dilation 2", lambda x: nn.Conv2d(x[0], 6, 3, 1, 2, 2), IMAGE),
    layer("nn.Conv2d, dilation 2, stride 2", lambda x: nn.Conv2d(x[0], 6, 3, 2, 2, 2), IMAGE),
    layer("nn.Conv2d, groups 2", lambda x: nn.Conv2d(x[0], 6, 3, 1, 1, groups=2), IMAGE),
    layer("nn.Conv2d, depthwise", lambda x: nn.Conv2d(x[0], x[0], 3, 1, 1, groups=x[0]), IMAGE),
    layer("nn.Conv2d, depthwise, two outputs a channel", lambda x: nn.Conv2d(x[0], 2 * x[0], 3, 2, 1, groups=x[0]), IMAGE),
    layer("nn.Conv2d, depthwise, dilated", lambda x: nn.Conv2d(x[0], x[0], 3, 1, 2, 2, groups=x[0]), IMAGE),
    layer("nn.Conv2d, kernel 1", lambda x: nn.Conv2d(x[0], 6, 1), IMAGE),
    layer("nn.Conv2d, padding='same'", lambda x: nn.Conv2d(x[0], 6, 4, padding="same"), IMAGE),
    layer("nn.Conv2d, padding_mode='reflect'", lambda x: nn.Conv2d(x[0], 6, 3, padding=1, padding_mode="reflect"), IMAGE),
    layer("nn.Conv2d, padding_mode='replicate'", lambda x: nn.Conv2d(x[0], 6, 3, padding=1, padding_mode="replicate"), IMAGE),
    layer("nn.Conv2d, padding_mode='circular'", lambda x: nn.Conv2d(x[0], 6, 3, padding=1, padding_mode="circular"), IMAGE),
    layer(
        "nn.Conv2d, batch norm and ReLU", lambda x: nn.Sequential(nn.Conv2d(x[0], 6, 3), nn.BatchNorm2d(6), nn.ReLU()), IMAGE
    ),
    function(
        "F.conv2d, computed weights",
        lambda x, w: F.conv2d(x, w.mean(0)),
        IMAGE,
        (5, 4, 3, 3),
        fuzz=False,
        refused=dict.fromkeys(("tflite-fp32", "tflite-int8"), "'conv2d' with a weight that the model computes"),
    ),
    layer("nn.ConvTranspose1d", lambda x: nn.ConvTranspose1d(x[0], 5, 3), SIGNAL),
    layer(
        "nn.ConvTranspose1d, stride 2, padding 1, output padding 1", lambda x: nn.ConvTranspose1d(x[0], 5, 4, 2, 1, 1), SIGNAL
    ),
    layer("nn.ConvTranspose2d", lambda x: nn.ConvTranspose2d(x[0], 5, 3), IMAGE),
    layer("nn.ConvTranspose2d, stride 2", lambda x: nn.ConvTranspose2d(x[0], 5, 2, 2), IMAGE),
    layer(
        "nn.ConvTranspose2d, stride 2, padding 1, output padding 1", lambda x: nn.ConvTranspose2d(x[0], 5, 3, 2, 1, 1), IMAGE
    ),
    layer("nn.ConvTranspose2d, groups 2", lambda x: nn.ConvTranspose2d(x[0], 6, 3, 2, groups=2), IMAGE),
    layer("nn.ConvTranspose2d, dilation 2", lambda x: nn.ConvTranspose2d(x[0], 6, 3, dilation=2), IMAGE),
    layer("nn.Linear", lambda x: nn.Linear(x[-1], 5), (12,)),
    layer("nn.Linear, without bias", lambda x: nn.Linear(x[-1], 5, bias=False), (12,)),
    layer("nn.Linear over a sequence", lambda x: nn.Linear(x[-1], 5), (7, 12)),
    layer("nn.Linear over an image", lambda x: nn.Linear(x[-1], 5), (3, 7, 12)),
    layer("nn.Linear and ReLU", lambda x: nn.Sequential(nn.Linear(x[-1], 5), nn.ReLU()), (12,)),
    layer("nn.Bilinear", lambda x, y: nn.Bilinear(x[-1], y[-1], 4), (5,), (6,)),
    refused("nn.Conv3d", nn.Conv3d(2, 3, 3), "three dimensions", (2, 5, 6, 7)),
    refused("nn.ConvTranspose3d", nn.ConvTranspose3d(2, 3, 3), "three dimensions", (2, 5, 6, 7)),
)
