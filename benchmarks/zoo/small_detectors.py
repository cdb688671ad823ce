"""Detectors for small devices: BlazeFace, CenterNet's heatmaps and offsets, FCOS over a pyramid, FOMO's grid of centroids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import cbr, enter
from benchmarks.zoo.mobilenets import InvertedResidual


class BlazeBlock(nn.Module):
    """A 5x5 depthwise and a pointwise convolution beside a pooled shortcut with more channels (arXiv:1907.05047)."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = o - i, stride
        self.depthwise = nn.Conv2d(i, i, 5, stride, 0 if stride == 2 else 2, groups=i)
        self.pointwise = nn.Conv2d(i, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(F.pad(x, (1, 2, 1, 2)) if self.stride == 2 else x))
        x = F.max_pool2d(x, 2) if self.stride == 2 else x
        return F.relu(y + (F.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more else x))


class BlazeFace(nn.Module):
    """Boxes with keypoints, and scores, of the anchors at two scales."""

    def __init__(self, widths: Sequence[int], values: int) -> None:
        super().__init__()
        first, fine, coarse = widths
        self.stem = nn.Conv2d(3, first, 5, 2, 2)
        self.fine = nn.Sequential(BlazeBlock(first, first, 1), BlazeBlock(first, fine, 2), BlazeBlock(fine, fine, 1))
        self.coarse = nn.Sequential(BlazeBlock(fine, coarse, 2), BlazeBlock(coarse, coarse, 1))
        self.scores = nn.ModuleList([nn.Conv2d(fine, 2, 1), nn.Conv2d(coarse, 6, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(fine, 2 * values, 1), nn.Conv2d(coarse, 6 * values, 1)])
        self.values = values

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(F.relu(self.stem(x)))
        maps = (fine, self.coarse(fine))

        def joined(heads: nn.ModuleList, values: int) -> Tensor:
            flat = [head(m).permute(0, 2, 3, 1).reshape(x.shape[0], -1, values) for head, m in zip(heads, maps, strict=True)]
            return torch.cat(flat, 1)

        return joined(self.boxes, self.values), joined(self.scores, 1)


class CenterNet(nn.Module):
    """Inverted residuals up again with transposed convolutions: heatmaps, sizes, offsets (arXiv:1904.07850, as MoveNet)."""

    def __init__(self, widths: Sequence[int], inner: int, classes: int) -> None:
        super().__init__()
        self.stem = cbr(3, widths[0], 3, 2, act=nn.ReLU6)
        self.down = nn.ModuleList([InvertedResidual(i, 4 * i, o, 3, 2, nn.ReLU6) for i, o in itertools.pairwise(widths)])
        self.lateral = nn.ModuleList([nn.Conv2d(w, inner, 1) for w in widths])
        self.up = nn.ModuleList([nn.ConvTranspose2d(inner, inner, 4, 2, 1, groups=inner, bias=False) for _ in widths[1:]])
        outputs = {"heatmap": classes, "size": 2, "offset": 2}
        self.heads = nn.ModuleDict({n: nn.Sequential(cbr(inner, inner), nn.Conv2d(inner, c, 1)) for n, c in outputs.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = [self.stem(x)]
        for stage in self.down:
            features.append(stage(features[-1]))
        y = self.lateral[-1](features[-1])
        for up, lateral, feature in zip(self.up, reversed(list(self.lateral)[:-1]), reversed(features[:-1]), strict=True):
            y = up(y) + lateral(feature)
        out = {name: head(y) for name, head in self.heads.items()}
        return {**out, "heatmap": out["heatmap"].sigmoid()}


class FCOS(nn.Module):
    """A pyramid without anchors: distances to the four sides, scaled at each level, and centredness (arXiv:1904.01355)."""

    def __init__(self, widths: Sequence[int], inner: int, depth: int, classes: int) -> None:
        super().__init__()
        self.stem = cbr(3, widths[0], 3, 2)
        self.stages = nn.ModuleList([InvertedResidual(i, 3 * i, o, 3, 2, nn.ReLU) for i, o in itertools.pairwise(widths)])
        self.lateral = nn.ModuleList([nn.Conv2d(w, inner, 1) for w in widths[1:]])
        self.tower = nn.Sequential(*[cbr(inner, inner) for _ in range(depth)])
        self.kinds, self.centre, self.sides = (nn.Conv2d(inner, c, 3, padding=1) for c in (classes, 1, 4))
        self.scales = nn.Parameter(torch.linspace(0.8, 1.2, len(widths) - 1))

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        x, features = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for at in range(len(levels) - 2, -1, -1):
            levels[at] = levels[at] + F.interpolate(levels[at + 1], scale_factor=2.0, mode="nearest")
        out = []
        for number, level in enumerate(levels):
            y = self.tower(level)
            out.append((self.kinds(y).sigmoid() * self.centre(y).sigmoid(), F.relu(self.scales[number] * self.sides(y))))
        return out


def fomo(widths: Sequence[int], classes: int) -> nn.Module:
    """A grid of objects' centres: a MobileNetV2 cut at an eighth of the size, a 1x1 head, softmax over classes."""
    layers: list[nn.Module] = [cbr(3, widths[0], 3, 2, act=nn.ReLU6)]
    for number, (i, o) in enumerate(itertools.pairwise(widths)):
        layers.append(InvertedResidual(i, 6 * i, o, 3, 2 if number < 2 else 1, nn.ReLU6))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 32, 1), nn.ReLU(), nn.Conv2d(32, classes, 1), nn.Softmax(1))


enter(
    "BlazeFace",
    lambda: BlazeFace((16, 24, 48), 16),
    lambda: BlazeFace((24, 48, 96), 16),
    shape=(3, 32, 32),
    full_shape=(3, 128, 128),
    share=0.6,
    quick=False,
)
enter(
    "CenterNet",
    lambda: CenterNet((16, 24, 32), 24, 5),
    lambda: CenterNet((32, 24, 32, 64, 96), 64, 80),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
    quick=False,
)
enter(
    "FCOS",
    lambda: FCOS((16, 24, 32), 16, 1, 4),
    lambda: FCOS((32, 24, 32, 64, 96), 128, 4, 20),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    quick=False,
)
enter(
    "FOMO",
    lambda: fomo((16, 16, 24, 24), 3),
    lambda: fomo((32, 16, 24, 24, 32, 32), 3),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
    alone=r"^[68]\.weight",
    quick=False,
)
