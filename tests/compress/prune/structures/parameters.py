"""Raw, tied and shared parameters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.compress.prune.structures.common import Net, cbr, conv, net, structure

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
