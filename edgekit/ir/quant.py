"""How a value is quantised: the one representation that calibration sets and exporters read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

#: Smallest and largest integer of each quantised type.
RANGES: dict[str, tuple[int, int]] = {
    "int2": (-2, 1),
    "int4": (-8, 7),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}


@dataclass(frozen=True)
class QuantParams:
    """Affine quantisation: ``real = scale * (integer - zero_point)`` (Jacob et al. 2018, arXiv:1712.05877, eq. 1).

    ``scale`` and ``zero_point`` have one entry (per tensor, ``axis is None``) or one per index along ``axis``. Scales are
    held as the exact values of float32, because that is what the files carry. ``narrow`` leaves out the most negative
    integer (symmetric weights).
    """

    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...] = (0,)
    axis: int | None = None
    narrow: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in RANGES:
            raise ValueError(f"unknown quantised type '{self.dtype}'")
        if len(self.scale) != len(self.zero_point):
            raise ValueError(f"{len(self.scale)} scales but {len(self.zero_point)} zero points")
        if self.axis is None and len(self.scale) != 1:
            raise ValueError("per-tensor parameters have one scale")
        rounded = tuple(torch.tensor(self.scale, dtype=torch.float32).tolist())
        if not all(0.0 < s < float("inf") for s in rounded):
            raise ValueError("scales must be positive, finite and representable in float32")
        object.__setattr__(self, "scale", rounded)

    @property
    def qmin(self) -> int:
        """Smallest integer."""
        return RANGES[self.dtype][0] + (1 if self.narrow else 0)

    @property
    def qmax(self) -> int:
        """Largest integer."""
        return RANGES[self.dtype][1]

    @property
    def per_channel(self) -> bool:
        """There is a scale for each index along ``axis``."""
        return self.axis is not None

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest real value that a per-tensor value can hold."""
        s, z = self.scale[0], self.zero_point[0]
        return s * (self.qmin - z), s * (self.qmax - z)

    def tensors(self, rank: int, device: torch.device | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale (float32) and zero point (int64), shaped to broadcast against a value of this rank."""
        scale = torch.tensor(self.scale, dtype=torch.float32, device=device)
        zero = torch.tensor(self.zero_point, dtype=torch.int64, device=device)
        if self.axis is None:
            return scale.reshape(()), zero.reshape(())
        shape = [1] * rank
        shape[self.axis] = -1
        return scale.reshape(shape), zero.reshape(shape)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for files; ``QuantParams(**d)`` after turning lists to tuples gives it back."""
        return {
            "dtype": self.dtype,
            "scale": list(self.scale),
            "zero_point": list(self.zero_point),
            "axis": self.axis,
            "narrow": self.narrow,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> QuantParams:
        """What ``as_dict`` wrote."""
        return QuantParams(
            data["dtype"], tuple(data["scale"]), tuple(data["zero_point"]), data.get("axis"), bool(data.get("narrow", False))
        )

    def __str__(self) -> str:
        if self.axis is None:
            return f"{self.dtype}(scale={self.scale[0]:.9g}, zero_point={self.zero_point[0]})"
        return f"{self.dtype}(axis={self.axis}, {len(self.scale)} scales)"
