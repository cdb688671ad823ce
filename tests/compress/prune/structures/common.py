"""Small structures in which channels couple in every way that networks couple them; each is a torch module with an example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Structure:
    """``statistics``: a norm or mean over pruned channels, so zeros are not removal. ``alone``: a pattern of the weights that
    are declined beside the layers at the output.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 8, 8)
    statistics: bool = False
    alone: str = ""
    tokens: bool = False


class Net(nn.Module):
    """Layers by name, and a function of them."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def conv(i: int, o: int, k: int = 3, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **how)


def cbr(i: int, o: int, k: int = 3, **how: Any) -> nn.Sequential:
    return nn.Sequential(conv(i, o, k, bias=False, **how), nn.BatchNorm2d(o), nn.ReLU())


def head(i: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 5))


STRUCTURES: dict[str, Structure] = {}


def structure(name: str, **how: Any) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    def enter(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        STRUCTURES[name] = Structure(build, **how)
        return build

    return enter


def net(name: str, function: Callable[..., Any], layers: Callable[[], dict[str, Any]], **how: Any) -> None:
    STRUCTURES[name] = Structure(lambda: Net(function, **layers()), **how)
