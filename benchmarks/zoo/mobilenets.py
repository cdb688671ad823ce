"""MobileNets V1 to V3 and EfficientNets: inverted residuals, squeeze and excite."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from benchmarks.zoo.common import SqueezeExcite, cbr, classifier, divisible, enter


def mobilenet_v1(width: float, repeats: int, classes: int) -> nn.Module:
    """Howard et al. 2017, arXiv:1704.04861; ``repeats`` of its five equal blocks."""
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * repeats, (1024, 2), (1024, 1)]
    channels = int(32 * width)
    layers: list[nn.Module] = [cbr(3, channels, 3, 2, act=nn.ReLU6)]
    for out, stride in plan:
        layers.append(cbr(channels, channels, 3, stride, groups=channels, act=nn.ReLU6))
        layers.append(cbr(channels, channels := int(out * width), 1, act=nn.ReLU6))
    return nn.Sequential(*layers, classifier(channels, classes))


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, arXiv:1801.04381; with a gate in MobileNetV3 and EfficientNet."""

    def __init__(
        self, i: int, wide: int, o: int, k: int, s: int, act: type[nn.Module], gate: SqueezeExcite | None = None
    ) -> None:
        super().__init__()
        grow = [cbr(i, wide, 1, act=act)] if wide != i else []
        gates = [gate] if gate is not None else []
        self.layers = nn.Sequential(*grow, cbr(wide, wide, k, s, groups=wide, act=act), *gates, cbr(wide, o, 1, act=None))
        self.adds = s == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


def mobilenet_v2(width: float, plan: Sequence[tuple[int, int, int, int]], last: int, classes: int) -> nn.Module:
    """``plan`` has the expansion, channels, repeats and stride of each stage."""
    channels = divisible(32 * width)
    layers: list[nn.Module] = [cbr(3, channels, 3, 2, act=nn.ReLU6)]
    for expansion, out, repeats, stride in plan:
        for step in range(repeats):
            o = divisible(out * width)
            layers.append(InvertedResidual(channels, expansion * channels, o, 3, stride if step == 0 else 1, nn.ReLU6))
            channels = o
    return nn.Sequential(*layers, cbr(channels, last, 1, act=nn.ReLU6), classifier(last, classes))


V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
V2_SHORT = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2))

Row = tuple[int, int, int, bool, type[nn.Module], int]  # kernel, expanded, out, gate, activation, stride
R, H = nn.ReLU, nn.Hardswish
V3_SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, R, 2), (3, 72, 24, False, R, 2), (3, 88, 24, False, R, 1), (5, 96, 40, True, H, 2),
    (5, 240, 40, True, H, 1), (5, 240, 40, True, H, 1), (5, 120, 48, True, H, 1), (5, 144, 48, True, H, 1),
    (5, 288, 96, True, H, 2), (5, 576, 96, True, H, 1), (5, 576, 96, True, H, 1),
)  # fmt: skip
V3_LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, R, 1), (3, 64, 24, False, R, 2), (3, 72, 24, False, R, 1), (5, 72, 40, True, R, 2),
    (5, 120, 40, True, R, 1), (5, 120, 40, True, R, 1), (3, 240, 80, False, H, 2), (3, 200, 80, False, H, 1),
    (3, 184, 80, False, H, 1), (3, 184, 80, False, H, 1), (3, 480, 112, True, H, 1), (3, 672, 112, True, H, 1),
    (5, 672, 160, True, H, 2), (5, 960, 160, True, H, 1), (5, 960, 160, True, H, 1),
)  # fmt: skip


def mobilenet_v3(plan: Sequence[Row], last: int, classes: int) -> nn.Module:
    """Howard et al. 2019, arXiv:1905.02244."""
    layers: list[nn.Module] = [cbr(3, 16, 3, 2, act=H)]
    channels = 16
    for k, wide, out, gated, act, stride in plan:
        gate = SqueezeExcite(wide, divisible(wide / 4), nn.ReLU, nn.Hardsigmoid) if gated else None
        layers.append(InvertedResidual(channels, wide, out, k, stride, act, gate))
        channels = out
    wide = plan[-1][1]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, last), nn.Hardswish(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, cbr(channels, wide, 1, act=H), *head, nn.Linear(last, classes))


B0 = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
B0_SHORT = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 1, 2, 5))


def efficientnet(plan: Sequence[tuple[int, int, int, int, int]], *, lite: bool, last: int, classes: int) -> nn.Module:
    """Tan & Le 2019, arXiv:1905.11946; ``lite`` has relu6 and no gates. Rows: expansion, channels, repeats, stride, kernel."""
    act: type[nn.Module] = nn.ReLU6 if lite else nn.SiLU
    channels = 32
    layers: list[nn.Module] = [cbr(3, channels, 3, 2, act=act)]
    for expansion, out, repeats, stride, k in plan:
        for step in range(repeats):
            wide = expansion * channels
            gate = None if lite else SqueezeExcite(wide, max(1, channels // 4), nn.SiLU)
            layers.append(InvertedResidual(channels, wide, out, k, stride if step == 0 else 1, act, gate))
            channels = out
    return nn.Sequential(*layers, cbr(channels, last, 1, act=act), classifier(last, classes))


enter(
    "MobileNetV1-0.25",
    lambda: mobilenet_v1(0.25, 0, 2),
    lambda: mobilenet_v1(0.25, 5, 2),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
)
enter(
    "MobileNetV2",
    lambda: mobilenet_v2(1, V2_SHORT, 128, 10),
    lambda: mobilenet_v2(1, V2, 1280, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
)
enter(
    "MobileNetV3-Small",
    lambda: mobilenet_v3(V3_SMALL[:4], 128, 10),
    lambda: mobilenet_v3(V3_SMALL, 1024, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
)
enter(
    "MobileNetV3-Large",
    lambda: mobilenet_v3(V3_LARGE[2:7], 128, 10),
    lambda: mobilenet_v3(V3_LARGE, 1280, 1000),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
    quick=False,
)
enter(
    "EfficientNet-Lite0",
    lambda: efficientnet(B0_SHORT, lite=True, last=128, classes=10),
    lambda: efficientnet(B0, lite=True, last=1280, classes=1000),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
)
enter(
    "EfficientNet-B0",
    lambda: efficientnet(B0_SHORT, lite=False, last=128, classes=10),
    lambda: efficientnet(B0, lite=False, last=1280, classes=1000),
    shape=(3, 32, 32),
    full_shape=(3, 96, 96),
    quick=False,
)
