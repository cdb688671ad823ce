"""Multi-scale dense networks (Huang et al., arXiv:1703.09844): coarse features from the first layer on, for good early exits.

A layer works on several scales at once. At each it adds ``growth`` features: half of them computed from all features of its
scale, half brought down from the next finer scale by a strided convolution; all features before stay beside them, as in a
DenseNet. Classifiers read the coarsest scale. Blocks of layers end in exits; the finest scales end where no later exit needs
them (what nobody reads falls out of the graph).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def convolution(channels_in: int, channels: int, stride: int = 1, *, size: int = 3) -> nn.Sequential:
    """A convolution with batch norm and ReLU; of an odd ``size``, the edges padded."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, size, stride, size // 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )


def bottleneck(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """1x1 to at most twice the channels, then 3x3: a dense layer reads many features and adds few."""
    inner = min(channels_in, 2 * channels)
    return nn.Sequential(convolution(channels_in, inner, size=1), convolution(inner, channels, stride))


class FirstLayer(nn.Module):
    """An image as features of every scale: each next one by a strided convolution of the one before."""

    def __init__(self, channels_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = zip([channels_in, *widths], widths, strict=False)
        self.scales = nn.ModuleList([convolution(a, b, 2 if scale else 1) for scale, (a, b) in enumerate(pairs)])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for scale in self.scales:
            x = scale(x)
            found.append(x)
        return found


class Layer(nn.Module):
    """One layer: new features at every scale but those that end here.

    Args:
        widths: channels of the scales that come in, the finest first.
        growth: features that each adds.
        dropped: how many of the finest scales go no further.
    """

    def __init__(self, widths: Sequence[int], growth: Sequence[int], dropped: int = 0) -> None:
        super().__init__()
        self.dropped = dropped
        self.same = nn.ModuleDict()
        self.down = nn.ModuleDict()
        for scale in range(dropped, len(widths)):
            brought = growth[scale] // 2 if scale else 0
            self.same[str(scale)] = bottleneck(widths[scale], growth[scale] - brought)
            if brought:
                self.down[str(scale)] = bottleneck(widths[scale - 1], brought, 2)
        self.widths = [width + more for width, more in zip(widths, growth, strict=True)][dropped:]

    def forward(self, scales: list[torch.Tensor]) -> list[torch.Tensor]:
        found = []
        for scale in range(self.dropped, len(scales)):
            parts = [scales[scale], self.same[str(scale)](scales[scale])]
            if str(scale) in self.down:
                parts.append(self.down[str(scale)](scales[scale - 1]))
            found.append(torch.cat(parts, 1))
        return found


class Block(nn.Module):
    """Some layers; what it computes last is the coarsest scale, where an exit reads."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, scales: list[torch.Tensor]) -> list[torch.Tensor]:
        for layer in self.layers:
            scales = layer(scales)
        return scales


class MsdNet(nn.Module):
    """A multi-scale dense network with one classifier, at its end; early exits go behind ``blocks.0``, ``blocks.1`` ...

    Args:
        channels_in: of the image.
        classes: of the answer.
        widths: features of each scale in the first layer, the finest first.
        growth: features that a layer adds to each.
        blocks: layers of each block. The finest scale ends with the first block, the next one with the second, and so on, as
            long as two scales are left.
    """

    def __init__(
        self,
        channels_in: int,
        classes: int,
        *,
        widths: Sequence[int] = (6, 12, 24),
        growth: Sequence[int] = (6, 12, 24),
        blocks: Sequence[int] = (2, 2, 2),
    ) -> None:
        super().__init__()
        self.first = FirstLayer(channels_in, widths)
        left, more = list(widths), list(growth)
        built = []
        for number, count in enumerate(blocks):
            layers = []
            for position in range(count):
                ends = position == count - 1 and len(left) > 2 and number + 1 < len(blocks)
                layer = Layer(left, more, int(ends))
                layers.append(layer)
                left, more = list(layer.widths), more[int(ends) :]
            built.append(Block(layers))
        self.blocks = nn.ModuleList(built)
        self.classifier = nn.Linear(left[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, channels_in, height, width)."""
        scales = self.first(x)
        for block in self.blocks:
            scales = block(scales)
        return self.classifier(scales[-1].mean((2, 3)))


def small() -> MsdNet:
    """For digits of 8 x 8 pixels: three blocks of one layer, on scales of 8, 4 and 2 pixels."""
    torch.manual_seed(0)
    return MsdNet(1, 10, widths=(4, 8, 16), growth=(4, 8, 16), blocks=(1, 1, 1))
