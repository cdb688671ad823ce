"""Networks whose result is a code or a distance: autoencoders, two inputs through one body, features of several kinds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import cbr, enter


def dense_autoencoder(inputs: int, wide: int, code: int, depth: int) -> nn.Module:
    """MLPerf Tiny's anomaly detector."""

    def block(i: int, o: int) -> list[nn.Module]:
        return [nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()]

    middle = [m for _ in range(depth - 1) for m in block(wide, wide)]
    back = [m for _ in range(depth - 1) for m in block(wide, wide)]
    return nn.Sequential(*block(inputs, wide), *middle, *block(wide, code), *block(code, wide), *back, nn.Linear(wide, inputs))


class VariationalAutoencoder(nn.Module):
    """Convolutions to the mean and log variance of a code, and back from the mean (Kingma & Welling 2013, arXiv:1312.6114)."""

    def __init__(self, widths: Sequence[int], size: int, code: int) -> None:
        super().__init__()
        ins = (1, *widths)
        self.encode = nn.Sequential(*[cbr(i, o, 3, 2) for i, o in zip(ins, widths, strict=False)], nn.Flatten())
        self.size, self.channels = size // 2 ** len(widths), widths[-1]
        flat = self.channels * self.size**2
        self.mean, self.variance, self.grow = nn.Linear(flat, code), nn.Linear(flat, code), nn.Linear(code, flat)
        back: list[nn.Module] = []
        for i, o in zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True):
            back += [nn.ConvTranspose2d(i, o, 3, 2, 1, 1), nn.BatchNorm2d(o), nn.LeakyReLU(0.1)]
        self.decode = nn.Sequential(*back, nn.Conv2d(widths[0], 1, 3, padding=1), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.encode(x)
        mean = self.mean(y)
        z = F.relu(self.grow(mean)).view(-1, self.channels, self.size, self.size)
        return self.decode(z), mean, self.variance(y)


class Siamese(nn.Module):
    """Two pictures through one body; a head on the absolute difference of their codes (Koch et al. 2015)."""

    def __init__(self, widths: Sequence[int], size: int, code: int) -> None:
        super().__init__()
        ins = (1, *widths)
        layers = [
            m for i, o in zip(ins, widths, strict=False) for m in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        ]
        flat = widths[-1] * (size // 2 ** len(widths)) ** 2
        self.body, self.head = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, code), nn.Sigmoid()), nn.Linear(code, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.sigmoid(self.head((self.body(first) - self.body(second)).abs()))


class Matching(nn.Module):
    """Pictures and signals into one space; cosines of all pairs would be its loss, the cosine of each pair its output."""

    def __init__(self, width: int, hidden: int, code: int) -> None:
        super().__init__()
        self.picture = nn.Sequential(cbr(3, width, 3, 2), cbr(width, 2 * width, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.signal = nn.Sequential(nn.Conv1d(6, hidden, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.a = nn.Sequential(nn.Linear(2 * width, 2 * code), nn.BatchNorm1d(2 * code), nn.ReLU(), nn.Linear(2 * code, code))
        self.b = nn.Sequential(nn.Linear(hidden, 2 * code), nn.BatchNorm1d(2 * code), nn.ReLU(), nn.Linear(2 * code, code))

    def forward(self, picture: Tensor, signal: Tensor) -> Tensor:
        return F.cosine_similarity(self.a(self.picture(picture)), self.b(self.signal(signal)), dim=1)


class WideDeep(nn.Module):
    """Embeddings of categories beside numbers, a cross network and a deep one (Wang et al. 2017, arXiv:1708.05123)."""

    def __init__(self, words: int, fields: int, width: int, crosses: int, deep: Sequence[int]) -> None:
        super().__init__()
        self.embed, flat = nn.Embedding(words, width), fields * width
        self.weights = nn.ParameterList([torch.randn(flat, 1) * 0.2 for _ in range(crosses)])
        self.offsets = nn.ParameterList([torch.randn(flat) * 0.2 for _ in range(crosses)])
        ins = (flat, *deep)
        self.deep = nn.Sequential(*[m for i, o in zip(ins, deep, strict=False) for m in (nn.Linear(i, o), nn.ReLU())])
        self.out = nn.Linear(flat + deep[-1], 1)

    def forward(self, ids: Tensor) -> Tensor:
        first = x = self.embed(ids).flatten(1)
        for weight, offset in zip(self.weights, self.offsets, strict=True):
            x = first * (x @ weight) + offset + x
        return torch.sigmoid(self.out(torch.cat([x, self.deep(first)], 1)))


PLAIN: dict[str, object] = {"convolutional": False}
enter(
    "FC autoencoder",
    lambda: dense_autoencoder(64, 32, 8, 2),
    lambda: dense_autoencoder(640, 128, 8, 4),
    shape=(64,),
    full_shape=(640,),
    **PLAIN,
    share=0.41,
)
enter(
    "Convolutional VAE",
    lambda: VariationalAutoencoder((16, 32), 16, 8),
    lambda: VariationalAutoencoder((32, 64, 128), 64, 32),
    shape=(1, 16, 16),
    full_shape=(1, 64, 64),
    quick=False,
)
enter(
    "Siamese",
    lambda: Siamese((8, 16), 16, 32),
    lambda: Siamese((64, 128, 128), 32, 512),
    shape=((1, 16, 16),) * 2,
    full_shape=((1, 32, 32),) * 2,
)
enter(
    "Picture-signal matching",
    lambda: Matching(16, 16, 16),
    lambda: Matching(64, 128, 128),
    shape=((3, 16, 16), (6, 24)),
    full_shape=((3, 64, 64), (6, 128)),
    **PLAIN,
    quick=False,
)
enter(
    "Deep & Cross",
    lambda: WideDeep(40, 4, 8, 2, (32, 16)),
    lambda: WideDeep(1000, 12, 16, 3, (256, 128)),
    shape=(4,),
    full_shape=(12,),
    tokens=40,
    **PLAIN,
)
