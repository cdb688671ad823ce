"""The table of architectures, and the layers that most of them are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """A network as its paper has it: its blocks and widths, in a short form for every test run and in its full depth.

    Attributes:
        small: the short form: real blocks, few of each, narrow where that is dear.
        full: the published depth and widths.
        shape: of one sample for ``small``; several inputs have several shapes.
        full_shape: likewise for ``full``; that of ``small`` if empty.
        share: of the MACs that may be left when half of all channels go.
        alone: a pattern of the weights that are declined beside the layers at the output; all others lose channels.
        channels: a mean or extreme over channels that go, so zeros in the source are not their removal.
        convolutional: goes to 8 bits as well.
        tokens: inputs are integers below this; 0 for floats.
        quick: its short form is part of every test run.
        ops: operators that a file for a target may have.
        transposes: TRANSPOSE that a convolutional network itself asks for: shuffles of channels, outputs in another order.
    """

    small: Callable[[], nn.Module]
    full: Callable[[], nn.Module]
    shape: tuple[int, ...] | tuple[tuple[int, ...], ...]
    full_shape: tuple[int, ...] | tuple[tuple[int, ...], ...] = ()
    share: float = 0.35
    alone: str = ""
    channels: bool = False
    convolutional: bool = True
    tokens: int = 0
    quick: bool = True
    ops: Mapping[str, int] = field(default_factory=dict)
    transposes: int = 0

    def shapes(self, full: bool) -> tuple[tuple[int, ...], ...]:
        """Of one sample of every input."""
        shape = (self.full_shape if full else ()) or self.shape
        return shape if isinstance(shape[0], tuple) else (shape,)  # type: ignore[return-value]


ARCHITECTURES: dict[str, Architecture] = {}


def enter(name: str, small: Callable[[], nn.Module], full: Callable[[], nn.Module], **how: object) -> None:
    """Puts an architecture into the table."""
    ARCHITECTURES[name] = Architecture(small, full, **how)  # type: ignore[arg-type]


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple, at least nine tenths of what was asked (MobileNetV2's rule)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def cbr(
    i: int, o: int, k: int = 3, s: int = 1, *, groups: int = 1, act: type[nn.Module] | None = nn.ReLU, d: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    layers = [nn.Conv2d(i, o, k, s, d * (k // 2), d, groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act is not None else []))


def cbr1(i: int, o: int, k: int = 3, s: int = 1, *, groups: int = 1, act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """The same over one dimension."""
    layers = [nn.Conv1d(i, o, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm1d(o)]
    return nn.Sequential(*layers, *([act()] if act is not None else []))


class SqueezeExcite(nn.Module):
    """A gate per channel from the global mean (Hu et al. 2017, arXiv:1709.01507)."""

    def __init__(
        self, channels: int, squeezed: int, act: type[nn.Module] = nn.ReLU, gate: type[nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.act, self.gate = act(), gate()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.excite(self.act(self.squeeze(x.mean((2, 3), keepdim=True)))))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def classifier(channels: int, classes: int = 10) -> nn.Sequential:
    """Global mean, then a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
