"""A wake-word network on windows of one second, without padding in time: its stream meets every window exactly."""

from __future__ import annotations

import torch
from torch import nn


def separable(channels: int, kernel: int) -> nn.Sequential:
    """A depthwise convolution over time and a pointwise one."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, (kernel, 3), padding=(0, 1), groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class WakeWordNet(nn.Module):
    """A strided convolution, two depthwise separable ones, the mean over what is left of time and of the bands."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Conv2d(1, 16, (4, 4), stride=(2, 2), padding=(0, 1), bias=False)
        self.first = nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU())
        self.second, self.third = separable(16, 5), separable(16, 5)
        self.classifier = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2), something else and the wake word, of log spectra (N, 1, 50 frames, 20 bands)."""
        x = self.third(self.second(self.first(x)))
        return self.classifier(x.mean(dim=(2, 3)))


def build() -> nn.Module:
    return WakeWordNet()
