"""Detectors: a YOLO with C2f blocks, an SSD over MobileNet features, RetinaNet's pyramid with shared heads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import cbr, enter
from benchmarks.zoo.mobilenets import InvertedResidual
from benchmarks.zoo.resnets import Basic


class Inner(nn.Module):
    """Two 3x3 convolutions, added to the input where wanted."""

    def __init__(self, channels: int, adds: bool) -> None:
        super().__init__()
        self.a, self.b, self.adds = cbr(channels, channels, act=nn.SiLU), cbr(channels, channels, act=nn.SiLU), adds

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x)) if self.adds else self.b(self.a(x))


class C2f(nn.Module):
    """A chunk, blocks on its second half, all of them joined."""

    def __init__(self, i: int, o: int, blocks: int, adds: bool) -> None:
        super().__init__()
        self.first, self.last = cbr(i, o, 1, act=nn.SiLU), cbr((2 + blocks) * o // 2, o, 1, act=nn.SiLU)
        self.blocks = nn.ModuleList([Inner(o // 2, adds) for _ in range(blocks)])

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        parts.extend(block(parts[-1]) for block in self.blocks)
        return self.last(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Three pools one behind the other, joined."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.a, self.b = cbr(i, i // 2, 1, act=nn.SiLU), cbr(2 * i, o, 1, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.a(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.b(torch.cat(parts, 1))


class Detect(nn.Module):
    """Box distributions and classes at every scale; a box side is the mean of its distribution (arXiv:2006.04388)."""

    def __init__(self, widths: Sequence[int], classes: int, bins: int) -> None:
        super().__init__()
        inner, self.bins, self.classes = max(16, widths[0] // 4, 4 * bins), bins, classes
        self.boxes = nn.ModuleList(nn.Sequential(cbr(w, inner, act=nn.SiLU), nn.Conv2d(inner, 4 * bins, 1)) for w in widths)
        self.kinds = nn.ModuleList(
            nn.Sequential(cbr(w, widths[0], act=nn.SiLU), nn.Conv2d(widths[0], classes, 1)) for w in widths
        )
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1))

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor]:
        batch = xs[0].shape[0]
        boxes = torch.cat([layer(x).view(batch, 4 * self.bins, -1) for layer, x in zip(self.boxes, xs, strict=True)], 2)
        kinds = torch.cat([layer(x).view(batch, self.classes, -1) for layer, x in zip(self.kinds, xs, strict=True)], 2)
        spread = boxes.view(batch, 4, self.bins, -1).transpose(1, 2).softmax(1)
        return F.conv2d(spread, self.steps).squeeze(1), kinds.sigmoid()


class Yolo(nn.Module):
    """Backbone, top-down and bottom-up paths, heads at three scales (the layout of YOLOv8)."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], classes: int, bins: int) -> None:
        super().__init__()
        a, b, c, d, e = widths
        n1, n2, n3, n4 = blocks
        self.p2 = nn.Sequential(cbr(3, a, 3, 2, act=nn.SiLU), cbr(a, b, 3, 2, act=nn.SiLU), C2f(b, b, n1, True))
        self.p3 = nn.Sequential(cbr(b, c, 3, 2, act=nn.SiLU), C2f(c, c, n2, True))
        self.p4 = nn.Sequential(cbr(c, d, 3, 2, act=nn.SiLU), C2f(d, d, n3, True))
        self.p5 = nn.Sequential(cbr(d, e, 3, 2, act=nn.SiLU), C2f(e, e, n4, True), SPPF(e, e))
        self.up4, self.up3 = C2f(d + e, d, n1, False), C2f(c + d, c, n1, False)
        self.down3, self.down4 = cbr(c, c, 3, 2, act=nn.SiLU), cbr(d, d, 3, 2, act=nn.SiLU)
        self.out4, self.out5 = C2f(c + d, d, n1, False), C2f(d + e, e, n1, False)
        self.detect = Detect((c, d, e), classes, bins)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        p3 = self.p3(self.p2(x))
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        t4 = self.up4(torch.cat([F.interpolate(p5, scale_factor=2.0), p4], 1))
        t3 = self.up3(torch.cat([F.interpolate(t4, scale_factor=2.0), p3], 1))
        t4 = self.out4(torch.cat([self.down3(t3), t4], 1))
        return self.detect([t3, t4, self.out5(torch.cat([self.down4(t4), p5], 1))])


class SSDLite(nn.Module):
    """Boxes and classes of anchors at several scales of inverted residuals, one list of all (arXiv:1512.02325)."""

    def __init__(self, widths: Sequence[int], repeats: int, anchors: int, classes: int) -> None:
        super().__init__()
        self.stem, self.stages = cbr(3, widths[0], 3, 2, act=nn.ReLU6), nn.ModuleList()
        for i, o in itertools.pairwise(widths):
            more = [InvertedResidual(o, 4 * o, o, 3, 1, nn.ReLU6) for _ in range(repeats)]
            self.stages.append(nn.Sequential(InvertedResidual(i, 4 * i, o, 3, 2, nn.ReLU6), *more))
        head = lambda w, o: nn.Sequential(cbr(w, w, groups=w, act=nn.ReLU6), nn.Conv2d(w, anchors * o, 1))  # noqa: E731
        self.boxes = nn.ModuleList([head(w, 4) for w in widths[1:]])
        self.kinds = nn.ModuleList([head(w, classes) for w in widths[1:]])
        self.classes = classes

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x, boxes, kinds = self.stem(x), [], []
        for stage, box, kind in zip(self.stages, self.boxes, self.kinds, strict=True):
            x = stage(x)
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
            kinds.append(kind(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.classes))
        return {"boxes": torch.cat(boxes, 1), "scores": torch.cat(kinds, 1).softmax(-1)}


class RetinaNet(nn.Module):
    """A feature pyramid (arXiv:1612.03144) and one head for all of its levels (arXiv:1708.02002)."""

    def __init__(self, widths: Sequence[int], inner: int, depth: int, anchors: int, classes: int) -> None:
        super().__init__()
        self.stem, self.stages = cbr(3, widths[0], 3, 2), nn.ModuleList()
        self.stages.extend(Basic(i, o, 2) for i, o in itertools.pairwise(widths))
        self.lateral = nn.ModuleList([nn.Conv2d(w, inner, 1) for w in widths[1:]])
        self.smooth = nn.ModuleList([nn.Conv2d(inner, inner, 3, padding=1) for _ in widths[1:]])

        def tower() -> list[nn.Module]:
            return [m for _ in range(depth) for m in (nn.Conv2d(inner, inner, 3, padding=1), nn.GroupNorm(4, inner), nn.ReLU())]

        self.kinds = nn.Sequential(*tower(), nn.Conv2d(inner, anchors * classes, 3, padding=1))
        self.boxes = nn.Sequential(*tower(), nn.Conv2d(inner, anchors * 4, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        x, features = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        levels = [layer(f) for layer, f in zip(self.lateral, features, strict=True)]
        for number in range(len(levels) - 2, -1, -1):
            levels[number] = levels[number] + F.interpolate(levels[number + 1], scale_factor=2.0)
        levels = [layer(level) for layer, level in zip(self.smooth, levels, strict=True)]
        return [self.kinds(level) for level in levels], [self.boxes(level) for level in levels]


enter(
    "YOLOv8n",
    lambda: Yolo((8, 16, 16, 32, 32), (1, 1, 1, 1), 3, 4),
    lambda: Yolo((16, 32, 64, 128, 256), (1, 2, 2, 1), 80, 16),
    shape=(3, 64, 64),
    transposes=2,  # boxes and classes stand before their anchors in the outputs
    alone=r"detect\.boxes\.\d\.1\.weight",
)
enter(
    "SSDLite",
    lambda: SSDLite((16, 24, 32), 1, 3, 4),
    lambda: SSDLite((32, 24, 32, 64, 96, 160), 2, 6, 21),
    shape=(3, 32, 32),
    full_shape=(3, 128, 128),
    quick=False,
)
enter(
    "RetinaNet",
    lambda: RetinaNet((16, 24, 32), 16, 1, 3, 4),
    lambda: RetinaNet((64, 128, 256, 512), 256, 4, 9, 80),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    quick=False,
)
