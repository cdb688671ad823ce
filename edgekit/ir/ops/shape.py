"""Ops that move elements without computing. Axes are non-negative; dimensions may be multiples of N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from edgekit.ir.ops.base import Op
from edgekit.ir.types import Batch, Dim, TensorType


@dataclass(frozen=True)
class Reshape(Op):
    """The same elements in row-major order under another ``shape``."""

    inputs = ("x",)
    shape: tuple[Dim, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x.reshape(self.shape)  # type: ignore[arg-type]

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        assert types[0] is not None
        out = TensorType(types[0].dtype, self.shape)
        if any(types[0].numel(n) != out.numel(n) for n in (2, 3)):
            raise ValueError(f"cannot reshape {types[0]} to {out}")
        return (out,)


@dataclass(frozen=True)
class Permute(Op):
    """Dimension i of the result is dimension ``dims[i]`` of x."""

    inputs = ("x",)
    dims: tuple[int, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x.permute(self.dims)


@dataclass(frozen=True)
class Concat(Op):
    """The inputs one after the other along ``axis``."""

    inputs = ("*xs",)
    axis: int

    def run(self, *xs: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.cat(xs, self.axis)


@dataclass(frozen=True)
class Split(Op):
    """Parts of the given ``sizes`` along ``axis``; one output each."""

    inputs = ("x",)
    axis: int
    sizes: tuple[int, ...]

    def run(self, x: torch.Tensor, **_: Any) -> tuple[torch.Tensor, ...]:
        return tuple(torch.split(x, list(self.sizes), self.axis))


@dataclass(frozen=True)
class Slice(Op):
    """Elements ``starts[i] : stops[i] : steps[i]`` along every dimension i. Steps are positive, stops within the dimension."""

    inputs = ("x",)
    starts: tuple[int, ...]
    stops: tuple[Dim, ...]
    steps: tuple[int, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x[tuple(slice(a, b, s) for a, b, s in zip(self.starts, self.stops, self.steps, strict=True))]


@dataclass(frozen=True)
class Expand(Op):
    """Broadcast to ``shape`` by repeating dimensions of size 1."""

    inputs = ("x",)
    shape: tuple[Dim, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x.expand(self.shape)  # type: ignore[arg-type]

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        assert types[0] is not None
        return (TensorType(types[0].dtype, self.shape),)


@dataclass(frozen=True)
class Tile(Op):
    """x repeated ``repeats[i]`` times along dimension i."""

    inputs = ("x",)
    repeats: tuple[int, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return x.repeat(self.repeats)


@dataclass(frozen=True)
class Pad(Op):
    """``pads[i] = (low, high)`` elements added to dimension i: ``mode`` constant (``value``), reflect or replicate."""

    inputs = ("x",)
    pads: tuple[tuple[int, int], ...]
    mode: str = "constant"
    value: float = 0.0

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        if self.mode == "constant":
            flat = [size for pair in reversed(self.pads) for size in pair]
            return F.pad(x, flat, value=self.value)
        spatial = max((len(self.pads) - i for i, pair in enumerate(self.pads) if pair != (0, 0)), default=0)
        if not spatial:
            return x
        spatial = max(spatial, len(self.pads) - 2)  # torch pads images along both sides or not at all
        flat = [size for pair in reversed(self.pads[-spatial:]) for size in pair]
        return F.pad(x, flat, mode=self.mode)


@dataclass(frozen=True)
class Flip(Op):
    """Reversed along ``axes``."""

    inputs = ("x",)
    axes: tuple[int, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.flip(x, self.axes)


@dataclass(frozen=True)
class Roll(Op):
    """Rotated by ``shifts[i]`` along ``axes[i]``."""

    inputs = ("x",)
    shifts: tuple[int, ...]
    axes: tuple[int, ...]

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.roll(x, self.shifts, self.axes)


@dataclass(frozen=True)
class Gather(Op):
    """``x.index_select(axis, index)``; an index of another rank replaces the axis by its shape (embedding: axis 0 of a
    table).
    """

    inputs = ("x", "index")
    axis: int = 0

    def run(self, x: torch.Tensor, index: torch.Tensor, **_: Any) -> torch.Tensor:
        flat = torch.index_select(x, self.axis, index.reshape(-1))
        return flat.reshape((*x.shape[: self.axis], *index.shape, *x.shape[self.axis + 1 :]))


@dataclass(frozen=True)
class Resize(Op):
    """x (N, C, *spatial) to spatial ``size``: ``mode`` nearest or bilinear (linear for one dimension).

    ``scales`` are the source's scale factors where it gave them (torch then uses them instead of the ratio of sizes).
    """

    inputs = ("x",)
    size: tuple[int, ...]
    mode: str = "nearest"
    align_corners: bool = False
    scales: tuple[float, ...] | None = None

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        mode = "linear" if self.mode == "bilinear" and x.dim() == 3 else self.mode
        corners = self.align_corners if mode in ("linear", "bilinear") else None
        if self.scales is not None:
            return F.interpolate(
                x, scale_factor=list(self.scales), mode=mode, align_corners=corners, recompute_scale_factor=False
            )
        return F.interpolate(x, size=list(self.size), mode=mode, align_corners=corners)


@dataclass(frozen=True)
class PixelShuffle(Op):
    """(N, C * r * r, H, W) to (N, C, H * r, W * r) (Shi et al. 2016, arXiv:1609.05158)."""

    inputs = ("x",)
    factor: int

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.pixel_shuffle(x, self.factor)


@dataclass(frozen=True)
class PixelUnshuffle(Op):
    """(N, C, H * r, W * r) to (N, C * r * r, H, W)."""

    inputs = ("x",)
    factor: int

    def run(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        return F.pixel_unshuffle(x, self.factor)


def is_batch(dim: Dim) -> bool:
    """The dimension depends on the batch size."""
    return isinstance(dim, Batch)
