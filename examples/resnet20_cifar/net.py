"""The residual networks for CIFAR-10 of He et al. 2015 (arXiv:1512.03385, section 4.2), with parameter-free shortcuts."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Two convolutions beside a shortcut; where the shape changes the shortcut takes every other pixel and pads channels."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.more = channels - channels_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """Three stages of ``blocks`` blocks each: 6 * blocks + 2 layers."""

    def __init__(self, blocks: int = 3, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        widths = [width, width, 2 * width, 4 * width]
        stages = [
            nn.Sequential(
                *[Block(widths[i] if b == 0 else widths[i + 1], widths[i + 1], 2 if i and b == 0 else 1) for b in range(blocks)]
            )
            for i in range(3)
        ]
        self.layer1, self.layer2, self.layer3 = stages
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        return self.linear(F.avg_pool2d(y, y.shape[3]).flatten(1))


def checkpoint(folder: Path) -> CifarResNet:
    """ResNet-20 with the weights of ``models/resnet20_cifar10.th`` in this folder of data, in evaluation mode."""
    module = CifarResNet()
    state = torch.load(folder / "models" / "resnet20_cifar10.th", map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    return module.eval()


def trained() -> CifarResNet:
    """The network that `edgekit build` in this folder starts from; ``EDGEKIT_DATA`` names the folder of data."""
    return checkpoint(Path(os.environ["EDGEKIT_DATA"]))
