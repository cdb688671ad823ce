"""What audio and sensor front ends are made of, without a Fourier transform of the runtime's own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmarks.operators.row import function, layer


class LogMel(nn.Module):
    """Frames, a windowed Fourier transform as two matrices, power, mel bands and logarithm."""

    def __init__(self, frame: int = 16, hop: int = 8, bands: int = 5) -> None:
        super().__init__()
        angles = 2 * math.pi * torch.arange(frame // 2 + 1)[:, None] * torch.arange(frame) / frame
        window = torch.hann_window(frame)
        self.frame, self.hop = frame, hop
        self.register_buffer("real", (angles.cos() * window).T.contiguous())
        self.register_buffer("imaginary", (angles.sin() * window).T.contiguous())
        self.register_buffer("bands", torch.rand(frame // 2 + 1, bands))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.unfold(1, self.frame, self.hop)
        power = (frames @ self.real) ** 2 + (frames @ self.imaginary) ** 2
        return torch.log(power @ self.bands + 1e-3)


class Strided(nn.Module):
    """The same transform as a strided convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, 10, 16, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.filters(x.unsqueeze(1)).chunk(2, 1)
        return torch.log1p(parts[0].square() + parts[1].square())


ROWS = (
    layer("log-mel by matrices", lambda x: LogMel(), (64,)),
    layer("log-mel by convolution", lambda x: Strided(), (64,)),
    function("pre-emphasis", lambda x: x[:, 1:] - 0.97 * x[:, :-1], (64,)),
    function("z-score of a window", lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5), (3, 32)),
)
