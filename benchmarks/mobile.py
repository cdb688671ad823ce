"""A small MobileNetV2 for 28 x 28 images, and its channels scaled so that one scale for a whole weight is useless."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.compress.equalize.pairs import find_pairs
from edgekit.compress.equalize.scaling import Weights
from edgekit.ir import Graph
from edgekit.passes import EXACT, run_passes
from edgekit.passes.constants import rewrite_constant


class Inverted(nn.Module):
    """Expand, depthwise, project (Sandler et al. 2018, arXiv:1801.04381), beside a shortcut where the shape stays."""

    def __init__(self, inside: int, outside: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        wide = 4 * inside
        self.expand = nn.Sequential(nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), activation())
        depth = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        self.depth = nn.Sequential(depth, nn.BatchNorm2d(wide), activation())
        self.project = nn.Sequential(nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside))
        self.shortcut = inside == outside and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.project(self.depth(self.expand(x)))
        return x + y if self.shortcut else y


class Mobile(nn.Module):
    """Inverted residuals between a stem with stride 2 and a pooled classifier; ``blocks`` are (channels, stride)."""

    def __init__(
        self,
        stem: int = 16,
        blocks: tuple[tuple[int, int], ...] = ((24, 2), (24, 1), (32, 2), (32, 1)),
        last: int = 96,
        stride: int = 2,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, stem, 3, stride, 1, bias=False), nn.BatchNorm2d(stem), activation())
        sizes = [stem, *(width for width, _ in blocks)]
        self.blocks = nn.Sequential(*(Inverted(a, b, step, activation) for a, (b, step) in zip(sizes, blocks, strict=False)))
        self.last = nn.Sequential(nn.Conv2d(sizes[-1], last, 1, bias=False), nn.BatchNorm2d(last), activation())
        self.head = nn.Linear(last, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.last(self.blocks(self.stem(x))).mean((2, 3)))
        return y


def adversarially_scaled(graph: Graph, factor: float, seed: int = 0) -> Graph:
    """The same function: every channel between two layers is up to ``factor`` times larger or smaller (log-uniform)."""
    out, _ = run_passes(graph, EXACT)
    pairs, _ = find_pairs(out)
    weights, generator = Weights(pairs), torch.Generator().manual_seed(seed)
    for pair in pairs:
        exponent = 2 * torch.rand(pair.channels, generator=generator, dtype=torch.float64) - 1
        scale = torch.tensor(factor, dtype=torch.float64) ** exponent
        weights.scale_made(pair.first, scale)
        weights.scale_read(pair.second, scale, pair.repeat)
    for node in {id(n): n for pair in pairs for n in (pair.first, pair.second)}.values():
        rewrite_constant(node.input(1), weights.weight[id(node)])
        if id(node) in weights.bias:
            rewrite_constant(node.input(2), weights.bias[id(node)])
    return out
