"""A network for handwritten digits of 8 x 8 pixels that is wider than it needs to be."""

from __future__ import annotations

import torch
from torch import nn


def block(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class WideDigitNet(nn.Module):
    """Four convolutions, a residual connection, global pooling and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = block(1, 32)
        self.down = block(32, 64, stride=2)
        self.inner = nn.Sequential(block(64, 64), block(64, 64))
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 10) of images (N, 1, 8, 8) with values from 0 (paper) to 1 (ink)."""
        x = self.down(self.first(x))
        x = x + self.inner(x)
        return self.classifier(x.mean(dim=(2, 3)))
