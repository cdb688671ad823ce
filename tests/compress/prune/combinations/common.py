"""The table of combinations, and layers of which the masked original must know what stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.compress.prune.structures.common import Net, cbr, conv, head

__all__ = ["COMBINATIONS", "Combination", "Net", "OverChannels", "cbr", "combine", "conv", "head"]


@dataclass(frozen=True)
class Combination:
    """A structure, the shapes of its inputs, and the weights that are declined beside those at an output."""

    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    alone: str = ""
    tokens: bool = False


COMBINATIONS: dict[str, Combination] = {}


def combine(
    name: str,
    function: Callable[..., Any],
    layers: Callable[[], dict[str, Any]],
    *shapes: tuple[int, ...],
    alone: str = "",
    tokens: bool = False,
) -> None:
    """Enters a structure: a function of its layers and of inputs of these shapes, (3, 8, 8) if none is given."""
    assert name not in COMBINATIONS, name
    COMBINATIONS[name] = Combination(lambda: Several(function, **layers()), shapes or ((3, 8, 8),), alone, tokens)


class Several(Net):
    """Layers by name (tensors are buffers), and a function of them and of several inputs."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module | Tensor) -> None:
        super().__init__(function, **{n: v for n, v in layers.items() if isinstance(v, nn.Module | nn.Parameter)})
        for name, tensor in layers.items():
            if isinstance(tensor, Tensor) and not isinstance(tensor, nn.Parameter):
                self.register_buffer(name, tensor)

    def forward(self, *xs: Tensor) -> Any:
        return self.function(self, *xs)


class OverChannels(nn.Module):
    """A mean, maximum or sum over an axis of channels that go.

    Zeros stand for channels that are not there, but still count in a mean: the masked original takes it of those that stay
    of the weight named ``of`` along its axis 0.
    """

    def __init__(self, kind: str, of: str, axis: int = 1) -> None:
        super().__init__()
        self.kind, self.of, self.axis = kind, of, axis
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is not None:
            x = x.index_select(self.axis, self.kept)
        if self.kind == "square mean":
            return x.square().mean(self.axis, keepdim=True)
        return {"mean": torch.mean, "sum": torch.sum, "amax": torch.amax}[self.kind](x, self.axis, True)  # type: ignore[operator]
