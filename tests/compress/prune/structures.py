"""Small structures in which channels couple in every way that networks couple them; each is a torch module with an example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Structure:
    """``statistics``: a norm or mean over pruned channels, so zeros are not removal. ``declined``: names that must be left alone.

    ``alone``: a pattern of what else may be declined, beside the layers at the output.
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


# ------------------------------------------------------------------ chains

structure("conv, batch norm, relu")(lambda: nn.Sequential(cbr(3, 8), cbr(8, 8), head(8)))
structure("convolutions with biases")(lambda: nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 6), nn.SiLU(), conv(6, 4)))
structure("flatten to a linear layer")(lambda: nn.Sequential(cbr(3, 8), nn.Flatten(), nn.Linear(512, 5)))
structure("multilayer perceptron", shape=(12,))(
    lambda: nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 10), nn.Tanh(), nn.Linear(10, 3))
)
net("view to a linear layer", lambda m, x: m.fc(m.a(x).view(x.shape[0], -1)), lambda: {"a": cbr(3, 8), "fc": nn.Linear(512, 5)})
net(
    "view with a literal size",
    lambda m, x: m.fc(F.max_pool2d(m.a(x), 2).view(-1, 128)),
    lambda: {"a": cbr(3, 8), "fc": nn.Linear(128, 5)},
)
structure("max, average pools and upsampling")(
    lambda: nn.Sequential(cbr(3, 8), nn.MaxPool2d(2), cbr(8, 8), nn.AvgPool2d(2), nn.Upsample(scale_factor=2), conv(8, 4))
)
structure("one channel in the middle", alone="0.weight")(
    lambda: nn.Sequential(conv(3, 1), nn.ReLU(), conv(1, 6), nn.ReLU(), conv(6, 2))
)
structure("prelu with a slope per channel")(lambda: nn.Sequential(conv(3, 8), nn.PReLU(8), conv(8, 4), nn.PReLU(), conv(4, 2)))
structure("gates of every activation")(
    lambda: nn.Sequential(conv(3, 8), nn.Sigmoid(), conv(8, 8), nn.Hardswish(), conv(8, 8), nn.ELU(), conv(8, 2))
)
structure("linear to an image")(
    lambda: nn.Sequential(nn.Linear(6, 8 * 16), nn.ReLU(), nn.Unflatten(1, (8, 4, 4)), cbr(8, 6), conv(6, 2))
)
STRUCTURES["linear to an image"] = Structure(STRUCTURES["linear to an image"].build, shape=(6,))

# ------------------------------------------------------------------ joins and splits

net("residual", lambda m, x: m.h(F.relu((y := m.a(x)) + m.b(y))), lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8)})
net(
    "residual with a projection",
    lambda m, x: m.h(F.relu(m.b(y := m.a(x)) + m.p(y))),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 12), "p": conv(8, 12, 1), "h": head(12)},
)
net(
    "option A shortcut",
    lambda m, x: m.h(F.relu(m.b(y := m.a(x)) + F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))),
    lambda: {"a": cbr(3, 8), "b": nn.Sequential(conv(8, 16, stride=2), nn.BatchNorm2d(16)), "h": head(16)},
)
net(
    "option A shortcut of the input",
    lambda m, x: m.h(F.relu(m.b(x) + F.pad(x, (0, 0, 0, 0, 2, 3)))),
    lambda: {"b": nn.Sequential(conv(3, 8), nn.BatchNorm2d(8)), "h": head(8)},
    alone="b.0.weight",
)
net("concat", lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)), lambda: {"a": cbr(3, 8), "b": cbr(3, 6), "c": conv(14, 2)})
net("concat of one tensor twice", lambda m, x: m.c(torch.cat([y := m.a(x), y], 1)), lambda: {"a": cbr(3, 8), "c": conv(16, 2)})
net(
    "dense block",
    lambda m, x: m.h(torch.cat([y := m.a(x), z := m.b(y), m.c(torch.cat([y, z], 1))], 1)),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 4), "c": cbr(12, 4), "h": head(16)},
)
net(
    "concat into an add",
    lambda m, x: m.h(torch.cat([m.a(x), m.b(x)], 1) + m.c(x)),
    lambda: {"a": cbr(3, 4), "b": cbr(3, 4), "c": cbr(3, 8), "h": head(8)},
)
net("concat with the input", lambda m, x: m.c(torch.cat([x, m.a(x)], 1)), lambda: {"a": cbr(3, 8), "c": conv(11, 2)})


def _chunk(m: Any, x: Tensor) -> Tensor:
    a, b = m.a(x).chunk(2, 1)
    return m.c(b) + m.d(a)  # type: ignore[no-any-return]


net("chunk to two convolutions", _chunk, lambda: {"a": cbr(3, 16), "c": conv(8, 4), "d": conv(8, 4)})


def _split(m: Any, x: Tensor) -> Tensor:
    a, b, c = m.a(x).split([2, 6, 8], 1)
    return m.h(torch.cat([m.b(b), a, m.c(c)], 1))  # type: ignore[no-any-return]


net("uneven split", _split, lambda: {"a": cbr(3, 16), "b": cbr(6, 6), "c": cbr(8, 4), "h": head(12)})


def _c2f(m: Any, x: Tensor) -> Tensor:
    parts = list(m.a(x).chunk(2, 1))
    for block in (m.m1, m.m2):
        parts.append(parts[-1] + block(parts[-1]))
    return m.h(m.out(torch.cat(parts, 1)))  # type: ignore[no-any-return]


net("C2f block", _c2f, lambda: {"a": cbr(3, 16, 1), "m1": cbr(8, 8), "m2": cbr(8, 8), "out": cbr(32, 8, 1), "h": head(8)})
net("slice", lambda m, x: m.b(m.a(x)[:, 2:7]), lambda: {"a": cbr(3, 10), "b": conv(5, 2)})
net("slice with a step", lambda m, x: m.b(m.a(x)[:, ::2]), lambda: {"a": cbr(3, 12), "b": conv(6, 2)})
net(
    "two slices that overlap",
    lambda m, x: m.b((y := m.a(x))[:, :6]) + m.c(y[:, 4:]),
    lambda: {"a": cbr(3, 10), "b": conv(6, 2), "c": conv(6, 2)},
)
net(
    "channels picked by index",
    lambda m, x: m.b(m.a(x)[:, [5, 0, 3, 3]]),
    lambda: {"a": cbr(3, 8), "b": conv(4, 2)},
    alone="a.0.weight",
)
net("flip of channels", lambda m, x: m.b(m.a(x).flip(1)), lambda: {"a": cbr(3, 8), "b": conv(8, 2)})
net("channels tiled", lambda m, x: m.b(m.a(x).repeat(1, 3, 1, 1)), lambda: {"a": cbr(3, 4), "b": conv(12, 2)})
net("roll of channels", lambda m, x: m.b(m.a(x).roll(1, 1)), lambda: {"a": cbr(3, 8), "b": conv(8, 2)}, alone="a.0.weight")
net("GLU", lambda m, x: m.b(F.glu(m.a(x), 1)), lambda: {"a": conv(3, 16), "b": conv(8, 2)})
net(
    "mixed kernels over a split",
    lambda m, x: m.h(torch.cat([c(p) for c, p in zip((m.c3, m.c5), m.a(x).chunk(2, 1), strict=True)], 1)),
    lambda: {"a": cbr(3, 8), "c3": conv(4, 4, groups=4), "c5": conv(4, 4, 5, groups=4), "h": head(8)},
)
net("two heads", lambda m, x: (m.p(y := m.a(x)), m.q(y)), lambda: {"a": cbr(3, 8), "p": conv(8, 2), "q": head(8)})
net(
    "a feature map is an output too",
    lambda m, x: (y := m.a(x), m.q(m.b(y))),
    lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "q": head(8)},
)

# ------------------------------------------------------------------ groups

net(
    "depthwise separable",
    lambda m, x: m.h(m.p(m.d(m.a(x)))),
    lambda: {"a": cbr(3, 8), "d": cbr(8, 8, groups=8), "p": cbr(8, 12, 1), "h": head(12)},
)
net(
    "depthwise with multiplier 2",
    lambda m, x: m.h(m.d(m.a(x))),
    lambda: {"a": cbr(3, 8), "d": cbr(8, 16, groups=8), "h": head(16)},
)
net(
    "depthwise of the input",
    lambda m, x: m.h(m.p(m.d(x))),
    lambda: {"d": cbr(3, 6, groups=3), "p": cbr(6, 8, 1), "h": head(8)},
    alone="d.0.weight",
)
net("grouped convolution", lambda m, x: m.h(m.g(m.a(x))), lambda: {"a": cbr(3, 8), "g": cbr(8, 16, groups=4), "h": head(16)})
net(
    "inverted residual with squeeze and excite",
    lambda m, x: m.h((y := m.a(x)) + m.p((z := m.d(m.e(y))) * m.se(z))),
    lambda: {
        "a": cbr(3, 8), "e": cbr(8, 16, 1), "d": cbr(16, 16, groups=16), "p": conv(16, 8, 1), "h": head(8),
        "se": nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(16, 4, 1), nn.ReLU(), conv(4, 16, 1), nn.Hardsigmoid()),
    },
)  # fmt: skip
net(
    "squeeze and excite by linear layers",
    lambda m, x: m.h((y := m.a(x)) * torch.sigmoid(m.v(F.relu(m.u(y.mean((2, 3)))))).view(-1, 8, 1, 1)),
    lambda: {"a": cbr(3, 8), "u": nn.Linear(8, 4), "v": nn.Linear(4, 8), "h": head(8)},
)


def _shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


net("channel shuffle", lambda m, x: m.h(m.b(_shuffle(m.a(x), 2))), lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "h": head(8)})
net(
    "grouped convolutions with a shuffle",
    lambda m, x: m.h(m.c(_shuffle(m.b(m.a(x)), 4))),
    lambda: {"a": cbr(3, 16), "b": cbr(16, 16, 1, groups=4), "c": cbr(16, 16, 1, groups=4), "h": head(16)},
)


def _shuffle_unit(m: Any, x: Tensor) -> Tensor:
    a, b = m.stem(x).chunk(2, 1)
    y = _shuffle(torch.cat([a, m.p(m.d(m.e(b)))], 1), 2)
    a, b = y.chunk(2, 1)
    return m.h(_shuffle(torch.cat([a, m.q(b)], 1), 2))  # type: ignore[no-any-return]


net(
    "ShuffleNet units",
    _shuffle_unit,
    lambda: {"stem": cbr(3, 16), "e": cbr(8, 8, 1), "d": cbr(8, 8, groups=8), "p": cbr(8, 8, 1), "q": cbr(8, 8), "h": head(16)},
)
net("pixel shuffle", lambda m, x: m.b(F.pixel_shuffle(m.a(x), 2)), lambda: {"a": cbr(3, 16), "b": conv(4, 2)})
net("pixel unshuffle", lambda m, x: m.b(F.pixel_unshuffle(m.a(x), 2)), lambda: {"a": cbr(3, 4), "b": conv(16, 2)})
net(
    "mean over groups of channels",
    lambda m, x: m.b(m.a(x).view(-1, 2, 6, 8, 8).sum(1)),
    lambda: {"a": cbr(3, 12), "b": conv(6, 2)},
)
net(
    "ghost module",
    lambda m, x: m.h(torch.cat([y := m.a(x), m.d(y)], 1)),
    lambda: {"a": cbr(3, 8), "d": cbr(8, 8, groups=8), "h": head(16)},
)

# ------------------------------------------------------------------ transposed

structure("transposed convolution")(
    lambda: nn.Sequential(cbr(3, 8), nn.ConvTranspose2d(8, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 2))
)
structure("grouped transposed convolution")(
    lambda: nn.Sequential(cbr(3, 8), nn.ConvTranspose2d(8, 12, 2, 2, groups=2), nn.ReLU(), conv(12, 2))
)
structure("depthwise transposed convolution")(
    lambda: nn.Sequential(cbr(3, 8), nn.ConvTranspose2d(8, 16, 2, 2, groups=8), nn.ReLU(), conv(16, 2))
)
net(
    "U-Net",
    lambda m, x: m.o(m.u(torch.cat([m.up(m.c(m.b(F.max_pool2d(y := m.a(x), 2)))), y], 1))),
    lambda: {
        "a": cbr(3, 8),
        "b": cbr(8, 12),
        "c": cbr(12, 12),
        "up": nn.ConvTranspose2d(12, 8, 2, 2),
        "u": cbr(16, 8),
        "o": conv(8, 2),
    },
)

# ------------------------------------------------------------------ attention maps and norms

net(
    "one-channel spatial attention",
    lambda m, x: m.h((y := m.a(x)) * torch.sigmoid(m.s(y))),
    lambda: {"a": cbr(3, 8), "s": conv(8, 1), "h": head(8)},
    alone="s.weight",
)
net(
    "CBAM",
    lambda m, x: m.h(
        (y := (z := m.a(x)) * torch.sigmoid(m.v(F.relu(m.u(z.mean((2, 3), True)))) + m.v(F.relu(m.u(z.amax((2, 3), True))))))
        * torch.sigmoid(m.s(torch.cat([y.mean(1, True), y.amax(1, True)], 1)))
    ),
    lambda: {"a": cbr(3, 8), "u": conv(8, 4, 1), "v": conv(4, 8, 1), "s": conv(2, 1, 7), "h": head(8)},
    statistics=True,
    alone="s.weight",
)
structure("layer norm over channels last", shape=(6, 12), statistics=True)(
    lambda: nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))
)
structure("layer norm over a feature map", statistics=True)(
    lambda: nn.Sequential(conv(3, 8), nn.LayerNorm((8, 8, 8)), nn.ReLU(), conv(8, 2))
)
structure("group norm", statistics=True)(lambda: nn.Sequential(conv(3, 16), nn.GroupNorm(4, 16), nn.ReLU(), conv(16, 2)))
structure("group norm with one group", statistics=True)(
    lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(1, 8), nn.ReLU(), conv(8, 2))
)
structure("group norm with groups of one", statistics=True)(
    lambda: nn.Sequential(conv(3, 8), nn.GroupNorm(8, 8), nn.ReLU(), conv(8, 2))
)
structure("instance norm")(lambda: nn.Sequential(conv(3, 8), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), conv(8, 2)))
net(
    "channels-last layer norm (ConvNeXt)",
    lambda m, x: m.h((y := m.a(x)) + m.q(F.gelu(m.p(m.n(m.d(y).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2) * m.g),
    lambda: {
        "a": conv(3, 8), "d": conv(8, 8, groups=8), "n": nn.LayerNorm(8), "p": nn.Linear(8, 16), "q": nn.Linear(16, 8),
        "g": nn.Parameter(torch.rand(8, 1, 1)), "h": head(8),
    },
    statistics=True,
)  # fmt: skip
net("softmax over channels", lambda m, x: m.b(m.a(x).softmax(1)), lambda: {"a": conv(3, 8), "b": conv(8, 2)}, alone="a.weight")
net("normalised features", lambda m, x: m.b(F.normalize(m.a(x), dim=1)), lambda: {"a": conv(3, 8), "b": conv(8, 2)})

# ------------------------------------------------------------------ parameters

net(
    "scale parameter",
    lambda m, x: m.b(m.a(x) * m.s),
    lambda: {"a": cbr(3, 8), "s": nn.Parameter(torch.rand(8, 1, 1)), "b": conv(8, 2)},
)
net(
    "functional convolution",
    lambda m, x: m.b(F.relu(F.conv2d(x, m.w, padding=1))),
    lambda: {"w": nn.Parameter(torch.randn(8, 3, 3, 3)), "b": conv(8, 2)},
)
net(
    "matrix product with a parameter",
    lambda m, x: m.b(F.relu(x @ m.w)),
    lambda: {"w": nn.Parameter(torch.randn(12, 8)), "b": nn.Linear(8, 3)},
    shape=(12,),
)
net(
    "einsum",
    lambda m, x: m.b(F.relu(torch.einsum("bti,io->bto", x, m.w))),
    lambda: {"w": nn.Parameter(torch.randn(12, 8)), "b": nn.Linear(8, 3)},
    shape=(5, 12),
)
net("module called twice", lambda m, x: m.c(m.b(m.b(m.a(x)))), lambda: {"a": cbr(3, 8), "b": cbr(8, 8), "c": conv(8, 2)})
net(
    "module called on two inputs",
    lambda m, x: m.c(torch.cat([m.b(m.a(x)), m.b(m.d(x))], 1)),
    lambda: {"a": cbr(3, 8), "d": cbr(3, 8), "b": cbr(8, 8), "c": conv(16, 2)},
)


@structure("tied weights")
def _tied() -> nn.Module:
    made = Net(lambda m, x: m.d(m.c(F.relu(m.b(F.relu(m.a(x)))))), a=conv(3, 8), b=conv(8, 8), c=conv(8, 8), d=conv(8, 2))
    made.c.weight = made.b.weight
    return made


@structure("tied encoder and decoder", shape=(12,))
def _autoencoder() -> nn.Module:
    return Net(lambda m, x: F.linear(F.relu(m.e(x)), m.e.weight.t()), e=nn.Linear(12, 8))


net(
    "learned map added",
    lambda m, x: m.b(m.a(x) + m.p),
    lambda: {"a": cbr(3, 8), "p": nn.Parameter(torch.randn(1, 8, 8, 8)), "b": conv(8, 2)},
)
net(
    "learned channels in a concat",
    lambda m, x: m.b(torch.cat([m.a(x), m.p.expand(x.shape[0], 4, 8, 8)], 1)),
    lambda: {"a": cbr(3, 8), "p": nn.Parameter(torch.randn(1, 4, 8, 8)), "b": conv(12, 2)},
)
net(
    "standardised weights",
    lambda m, x: m.b(F.relu(F.conv2d(x, m.w - m.w.mean((1, 2, 3), True)))),
    lambda: {"w": nn.Parameter(torch.randn(8, 3, 3, 3)), "b": conv(8, 2)},
)

# ------------------------------------------------------------------ sequences

structure("Conv1d chain", shape=(6, 20))(
    lambda: nn.Sequential(
        nn.Conv1d(6, 8, 3),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 8, 3, dilation=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(112, 3),
    )
)
net(
    "causal residual (TCN)",
    lambda m, x: m.f((y := F.relu(m.a(F.pad(x, (2, 0))))).add(F.relu(m.b(F.pad(y, (4, 0))))).mean(2)),
    lambda: {"a": nn.Conv1d(6, 8, 3), "b": nn.Conv1d(8, 8, 3, dilation=2), "f": nn.Linear(8, 3)},
    shape=(6, 20),
)


def _rnn(kind: type[nn.RNNBase], **how: Any) -> Callable[[], dict[str, Any]]:
    width = 8 * (2 if how.get("bidirectional") else 1)
    return lambda: {"a": nn.Conv1d(6, 10, 3), "r": kind(10, 8, batch_first=True, **how), "f": nn.Linear(width, 3)}


def _last(m: Any, x: Tensor) -> Tensor:
    return m.f(m.r(F.relu(m.a(x)).permute(0, 2, 1))[0][:, -1])  # type: ignore[no-any-return]


net("Conv1d to LSTM", _last, _rnn(nn.LSTM), shape=(6, 12))
net("Conv1d to GRU", _last, _rnn(nn.GRU), shape=(6, 12))
net("Conv1d to RNN", _last, _rnn(nn.RNN), shape=(6, 12))
net("two LSTM layers, bidirectional", _last, _rnn(nn.LSTM, num_layers=2, bidirectional=True), shape=(6, 12))
net("two GRU layers, bidirectional, no bias", _last, _rnn(nn.GRU, num_layers=2, bidirectional=True, bias=False), shape=(6, 12))
net(
    "final state of an LSTM",
    lambda m, x: m.f(m.r(x)[1][0][-1]),
    lambda: {"r": nn.LSTM(6, 8, batch_first=True), "f": nn.Linear(8, 3)},
    shape=(12, 6),
)
net(
    "LSTM to GRU",
    lambda m, x: m.f(m.s(m.r(x)[0])[0].mean(1)),
    lambda: {"r": nn.LSTM(6, 8, batch_first=True), "s": nn.GRU(8, 8, batch_first=True), "f": nn.Linear(8, 3)},
    shape=(12, 6),
)
net(
    "feature map to rows (CRNN)",
    lambda m, x: m.f(m.r(m.a(x).permute(0, 2, 1, 3).flatten(2))[0].mean(1)),
    lambda: {"a": cbr(3, 6), "r": nn.GRU(48, 8, batch_first=True), "f": nn.Linear(8, 3)},
)
net(
    "(B, C, H, W) to (B, H, C * W)",
    lambda m, x: m.f((y := m.a(x)).permute(0, 2, 1, 3).reshape(y.shape[0], 8, -1)),
    lambda: {"a": cbr(3, 6), "f": nn.Linear(48, 3)},
)
net(
    "embedding",
    lambda m, x: m.f(F.relu(m.a(m.e(x).mean(1)))),
    lambda: {"e": nn.Embedding(20, 8), "a": nn.Linear(8, 12), "f": nn.Linear(12, 3)},
    shape=(5,),
    tokens=True,
)

# ------------------------------------------------------------------ attention


class Attend(nn.Module):
    """Self-attention with one projection for q, k and v, fused or written out."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.heads, self.fused = nn.Linear(width, 3 * width), nn.Linear(width, width), heads, fused

    def forward(self, x: Tensor) -> Tensor:
        b, t, width = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, width))  # type: ignore[no-any-return]


class Separate(nn.Module):
    """Self-attention with three projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, width = x.shape
        q, k, v = (f(x).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


for _fused in (True, False):
    net(
        f"attention block, {'fused' if _fused else 'written out'}",
        lambda m, x: m.f((y := m.i(x)) + m.t(y)),
        lambda fused=_fused: {"i": nn.Linear(6, 16), "t": Attend(16, 4, fused), "f": nn.Linear(16, 3)},
        shape=(7, 6),
    )
net(
    "attention with separate projections",
    lambda m, x: m.f(m.t(m.i(x))),
    lambda: {"i": nn.Linear(6, 16), "t": Separate(16, 4), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
net(
    "attention of one head",
    lambda m, x: m.f(m.t(m.i(x))),
    lambda: {"i": nn.Linear(6, 16), "t": Separate(16, 1), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
net(
    "multi-head attention module",
    lambda m, x: m.f(m.t(y := m.i(x), y, y, need_weights=False)[0]),
    lambda: {"i": nn.Linear(6, 16), "t": nn.MultiheadAttention(16, 4, batch_first=True), "f": nn.Linear(16, 3)},
    shape=(7, 6),
)
net(
    "transformer encoder layer",
    lambda m, x: m.f(m.t(m.i(x)).mean(1)),
    lambda: {"i": nn.Linear(6, 16), "t": nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), "f": nn.Linear(16, 3)},
    shape=(7, 6),
    statistics=True,
)


def _vit(m: Any, x: Tensor) -> Tensor:
    y = m.patch(x).flatten(2).transpose(1, 2)
    y = torch.cat([m.cls.expand(x.shape[0], -1, -1), y], 1) + m.pos
    y = y + m.t(m.n(y))
    return m.f((y + m.b(F.gelu(m.a(y))))[:, 0])  # type: ignore[no-any-return]


net(
    "ViT",
    _vit,
    lambda: {
        "patch": nn.Conv2d(3, 16, 4, 4), "cls": nn.Parameter(torch.randn(1, 1, 16)), "pos": nn.Parameter(torch.randn(1, 5, 16)),
        "n": nn.LayerNorm(16), "t": Attend(16, 4, True), "a": nn.Linear(16, 32), "b": nn.Linear(32, 16), "f": nn.Linear(16, 3),
    },
    statistics=True,
)  # fmt: skip


def _windows(m: Any, x: Tensor) -> Tensor:
    y = m.patch(x).permute(0, 2, 3, 1)
    b, h, w, c = y.shape
    z = torch.roll(y, (-1, -1), (1, 2)).view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
    z = m.t(z).view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
    return m.f((y + torch.roll(z, (1, 1), (1, 2))).mean((1, 2)))  # type: ignore[no-any-return]


net(
    "shifted windows (Swin)",
    _windows,
    lambda: {"patch": nn.Conv2d(3, 16, 2, 2), "t": Attend(16, 4, True), "f": nn.Linear(16, 3)},
)
