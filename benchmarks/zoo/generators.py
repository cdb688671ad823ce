"""Networks that give sound, pictures or words: Conv-TasNet, a recurrent denoiser, style transfer, a causal language model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.zoo.common import Residual, enter
from benchmarks.zoo.transformers import perceptron


class Separation(nn.Module):
    """Pointwise, dilated depthwise, pointwise; global layer norm as a group norm of one group."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, hidden, 1), nn.PReLU(), nn.GroupNorm(1, hidden),
            nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden), nn.PReLU(),
            nn.GroupNorm(1, hidden), nn.Conv1d(hidden, width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class TasNet(nn.Module):
    """A learned filter bank, a mask for each speaker, the bank transposed (Luo & Mesgarani 2018, arXiv:1809.07454)."""

    def __init__(self, filters: int, width: int, hidden: int, depth: int, speakers: int) -> None:
        super().__init__()
        self.encode, self.norm = nn.Conv1d(1, filters, 16, 8, bias=False), nn.GroupNorm(1, filters)
        blocks = [Separation(width, hidden, 2**n) for n in range(depth)]
        self.body = nn.Sequential(nn.Conv1d(filters, width, 1), *blocks, nn.PReLU(), nn.Conv1d(width, speakers * filters, 1))
        self.decode, self.speakers = nn.ConvTranspose1d(filters, 1, 16, 8, bias=False), speakers

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.encode(x))
        masks = self.body(self.norm(y)).sigmoid().chunk(self.speakers, 1)
        return torch.cat([self.decode(y * mask) for mask in masks], 1)


class Denoiser(nn.Module):
    """Gains of every band from a dense layer and two GRUs (Valin 2017, arXiv:1709.08243)."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.dense, self.voice = nn.Linear(bands, width), nn.GRU(width, width, batch_first=True)
        self.noise, self.gains = nn.GRU(bands + width, width, batch_first=True), nn.Linear(2 * width, bands)

    def forward(self, x: Tensor) -> Tensor:
        voice, _ = self.voice(torch.tanh(self.dense(x)))
        noise, _ = self.noise(torch.cat([x, voice], -1))
        return self.gains(torch.cat([voice, noise], -1)).sigmoid() * x


def style_transfer(width: int, blocks: int) -> nn.Module:
    """Reflected borders, instance norms, nearest neighbours before convolutions (Johnson et al. 2016, arXiv:1603.08155)."""

    def conv(i: int, o: int, k: int, s: int = 1) -> list[nn.Module]:
        return [nn.ReflectionPad2d(k // 2), nn.Conv2d(i, o, k, s), nn.InstanceNorm2d(o, affine=True)]

    body = [Residual(*conv(4 * width, 4 * width, 3), nn.ReLU(), *conv(4 * width, 4 * width, 3)) for _ in range(blocks)]
    down = [
        *conv(3, width, 9),
        nn.ReLU(),
        *conv(width, 2 * width, 3, 2),
        nn.ReLU(),
        *conv(2 * width, 4 * width, 3, 2),
        nn.ReLU(),
    ]
    up: list[nn.Module] = []
    for i, o in ((4 * width, 2 * width), (2 * width, width)):
        up += [nn.Upsample(scale_factor=2), *conv(i, o, 3), nn.ReLU()]
    return nn.Sequential(*down, *body, *up, nn.ReflectionPad2d(4), nn.Conv2d(width, 3, 9), nn.Tanh())


class CausalAttention(nn.Module):
    """Every word sees those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (m(x).view(b, t, self.heads, c // self.heads).transpose(1, 2) for m in (self.q, self.k, self.v))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c))


class LanguageModel(nn.Module):
    """Pre-norm blocks, the output tied to the embedding (Radford et al. 2019)."""

    def __init__(self, words: int, length: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Parameter(torch.randn(length, width) * 0.1)
        blocks = [
            nn.Sequential(
                Residual(nn.LayerNorm(width), CausalAttention(width, heads)),
                Residual(nn.LayerNorm(width), perceptron(width, 4 * width)),
            )
            for _ in range(depth)
        ]
        self.layers, self.norm = nn.Sequential(*blocks), nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        return F.linear(self.norm(self.layers(self.words(ids) + self.places)), self.words.weight)


enter(
    "Conv-TasNet",
    lambda: TasNet(24, 16, 32, 2, 2),
    lambda: TasNet(512, 128, 512, 8, 2),
    shape=(1, 136),
    full_shape=(1, 520),
    share=0.5,
    quick=False,
)
enter(
    "Recurrent denoiser",
    lambda: Denoiser(12, 16),
    lambda: Denoiser(42, 96),
    shape=(6, 12),
    full_shape=(20, 42),
    convolutional=False,
    share=0.6,
    alone=r"^gains\.weight",
    quick=False,
)
enter(
    "Style transfer",
    lambda: style_transfer(8, 1),
    lambda: style_transfer(32, 5),
    shape=(3, 32, 32),
    full_shape=(3, 64, 64),
    share=0.4,
    quick=False,
)
enter(
    "Language model",
    lambda: LanguageModel(40, 8, 32, 2, 1),
    lambda: LanguageModel(1000, 32, 128, 4, 4),
    shape=(8,),
    full_shape=(32,),
    tokens=40,
    convolutional=False,
    alone=r"^words\.weight",
    quick=False,
)
