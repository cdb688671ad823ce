"""Recurrent layers, attention and positions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.combinations.common import cbr, combine, conv

SIGNAL = (6, 12)


def _rnn(kind: type[nn.RNNBase], i: int, h: int, **how: Any) -> nn.RNNBase:
    return kind(i, h, batch_first=True, **how)


combine(
    "permute to a bidirectional LSTM of two layers, features joined",
    lambda m, x: m.f(torch.cat([m.r(y := F.relu(m.a(x)).permute(0, 2, 1))[0], y], 2).mean(1)),
    lambda: {"a": nn.Conv1d(6, 10, 3), "r": _rnn(nn.LSTM, 10, 8, num_layers=2, bidirectional=True), "f": nn.Linear(26, 3)},
    SIGNAL,
)
combine(
    "GRU to attention",
    lambda m, x: m.f(m.t(y := m.r(x.transpose(1, 2))[0], y, y, need_weights=False)[0].mean(1)),
    lambda: {"r": _rnn(nn.GRU, 6, 16), "t": nn.MultiheadAttention(16, 4, batch_first=True), "f": nn.Linear(16, 3)},
    SIGNAL,
)
combine(
    "both states of an LSTM joined",
    lambda m, x: m.f(torch.cat([(s := m.r(x)[1])[0][-1], s[1][-1]], 1)),
    lambda: {"r": _rnn(nn.LSTM, 6, 8), "f": nn.Linear(16, 3)},
    (12, 6),
)
combine(
    "states of both directions flattened",
    lambda m, x: m.f(m.r(x)[1].transpose(0, 1).flatten(1)),
    lambda: {"r": _rnn(nn.GRU, 6, 8, bidirectional=True), "f": nn.Linear(16, 3)},
    (12, 6),
)
combine(
    "an LSTM's state starts another",
    lambda m, x, z: m.f(m.q(z, m.r(x)[1])[0]),
    lambda: {"r": _rnn(nn.LSTM, 6, 8), "q": _rnn(nn.LSTM, 4, 8), "f": nn.Linear(8, 3)},
    (12, 6),
    (5, 4),
)
combine(
    "a learned first state",
    lambda m, x: m.f(m.r(x, m.s.expand(1, x.shape[0], 8).contiguous())[0][:, -1]),
    lambda: {"r": _rnn(nn.GRU, 6, 8), "s": nn.Parameter(torch.randn(1, 1, 8)), "f": nn.Linear(8, 3)},
    (12, 6),
)
combine(
    "residual around an RNN",
    lambda m, x: m.f((y := m.i(x)) + m.r(y)[0]),
    lambda: {"i": nn.Linear(6, 8), "r": _rnn(nn.RNN, 8, 8, nonlinearity="relu"), "f": nn.Linear(8, 3)},
    (12, 6),
)
combine(
    "convolution over an LSTM's steps, added to its input",
    lambda m, x: m.f((y := F.relu(m.a(x))) + m.b(m.r(y.transpose(1, 2))[0].transpose(1, 2))),
    lambda: {
        "a": nn.Conv1d(6, 10, 3, padding=1),
        "r": _rnn(nn.LSTM, 10, 8),
        "b": nn.Conv1d(8, 10, 3, padding=1),
        "f": nn.Conv1d(10, 2, 1),
    },
    SIGNAL,
)
combine(
    "two directions summed",
    lambda m, x: m.f((y := m.r(x)[0])[..., :8] + y[..., 8:]),
    lambda: {"r": _rnn(nn.LSTM, 6, 8, bidirectional=True), "f": nn.Linear(8, 3)},
    (12, 6),
)
combine(
    "frames through a convolution, then a GRU over time",
    lambda m, x: m.f(m.r(F.relu(m.a(x.reshape(-1, 3, 8, 8))).mean((2, 3)).view(-1, 4, 8))[0][:, -1]),
    lambda: {"a": conv(3, 8), "r": _rnn(nn.GRU, 8, 10), "f": nn.Linear(10, 3)},
    (4, 3, 8, 8),
)
combine(
    "gated convolution over time with a shortcut (GLU)",
    lambda m, x: m.f((y := F.relu(m.i(x))) + F.glu(m.a(y), 1)),
    lambda: {"i": nn.Conv1d(6, 8, 1), "a": nn.Conv1d(8, 16, 3, padding=1), "f": nn.Conv1d(8, 2, 1)},
    SIGNAL,
)
combine(
    "gate of a depthwise convolution over time",
    lambda m, x: m.f(F.glu(m.d(m.a(x)), 1)),
    lambda: {"a": nn.Conv1d(6, 8, 1), "d": nn.Conv1d(8, 16, 3, groups=8), "f": nn.Conv1d(8, 2, 1)},
    SIGNAL,
)
combine(
    "gated perceptron (SwiGLU)",
    lambda m, x: m.f((y := m.i(x)) + m.c(F.silu(m.a(y)) * m.b(y))),
    lambda: {"i": nn.Linear(6, 8), "a": nn.Linear(8, 20), "b": nn.Linear(8, 20), "c": nn.Linear(20, 8), "f": nn.Linear(8, 3)},
    (5, 6),
)
combine(
    "gated perceptron of one layer cut in two (GEGLU)",
    lambda m, x: m.f(m.c((y := m.a(m.i(x)).chunk(2, -1))[0] * F.gelu(y[1]))),
    lambda: {"i": nn.Linear(6, 8), "a": nn.Linear(8, 40), "c": nn.Linear(20, 8), "f": nn.Linear(8, 3)},
    (5, 6),
)
combine(
    "a gate mixed over positions by a 1-wide convolution (gMLP)",
    lambda m, x: m.f(m.o((y := m.i(x).chunk(2, -1))[0] * m.s(m.n(y[1])))),
    lambda: {
        "i": nn.Linear(6, 24),
        "n": nn.LayerNorm(12),
        "s": nn.Conv1d(5, 5, 1),
        "o": nn.Linear(12, 8),
        "f": nn.Linear(8, 3),
    },
    (5, 6),
    alone=r"^s\.weight",
)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _cross(m: Any, x: Tensor, z: Tensor) -> Tensor:
    y = m.i(x)
    q, k, v = _split_heads(m.q(y), 4), _split_heads(m.k(z), 4), _split_heads(m.v(z), 4)
    return m.f(y + m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


combine(
    "cross attention",
    _cross,
    lambda: {
        "i": nn.Linear(6, 16),
        "q": nn.Linear(16, 16),
        "k": nn.Linear(4, 16),
        "v": nn.Linear(4, 16),
        "o": nn.Linear(16, 16),
        "f": nn.Linear(16, 3),
    },
    (5, 6),
    (7, 4),
)


def _grouped_query(m: Any, x: Tensor) -> Tensor:
    y = m.i(x)
    q, k, v = _split_heads(m.q(y), 4), _split_heads(m.k(y), 2), _split_heads(m.v(y), 2)
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    return m.f(m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


def _kv(heads: int) -> dict[str, Any]:
    return {
        "i": nn.Linear(6, 16), "q": nn.Linear(16, 16), "k": nn.Linear(16, 4 * heads), "v": nn.Linear(16, 4 * heads),
        "o": nn.Linear(16, 16), "f": nn.Linear(16, 3),
    }  # fmt: skip


combine("grouped-query attention", _grouped_query, lambda: _kv(2), (5, 6))
combine(
    "attention whose heads share keys and values",
    lambda m, x: m.f(
        m.o(
            ((_split_heads(m.q(y := m.i(x)), 4) @ m.k(y).unsqueeze(1).transpose(2, 3) / 2).softmax(-1) @ m.v(y).unsqueeze(1))
            .transpose(1, 2)
            .flatten(2)
        )
    ),
    lambda: _kv(1),
    (5, 6),
    alone=r"^[kv]\.weight",
)


def _biased(m: Any, x: Tensor) -> Tensor:
    q, k, v = m.qkv(m.i(x)).view(-1, 5, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
    scores = (q @ k.transpose(2, 3) / 2 + m.bias).masked_fill(m.mask, -1e4)
    return m.f(m.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 5, 16)))


combine(
    "causal attention with a bias for every head",
    _biased,
    lambda: {
        "i": nn.Linear(6, 16), "qkv": nn.Linear(16, 48), "o": nn.Linear(16, 16), "f": nn.Linear(16, 3),
        "bias": nn.Parameter(torch.randn(1, 4, 5, 5)), "mask": torch.ones(5, 5).triu(1).bool(),
    },
    (5, 6),
)  # fmt: skip


def _einsum_heads(m: Any, x: Tensor) -> Tensor:
    q, k, v = (torch.einsum("bti,hid->bthd", x, w) for w in (m.q, m.k, m.v))
    weight = torch.einsum("bthd,bshd->bhts", q, k).softmax(-1)
    return m.f(torch.einsum("bhts,bshd,hdo->bto", weight, v, m.o))


combine(
    "attention by einsum with a weight for every head",
    _einsum_heads,
    lambda: {
        **{n: nn.Parameter(torch.randn(4, 6, 4) * 0.3) for n in "qkv"},
        "o": nn.Parameter(torch.randn(4, 4, 8) * 0.3),
        "f": nn.Linear(8, 3),
    },
    (5, 6),
)


def _channel_attention(m: Any, x: Tensor) -> Tensor:
    q, k, v = m.q(x).transpose(1, 2), m.k(x).transpose(1, 2), m.v(x).transpose(1, 2)
    return m.f(((q @ k.transpose(1, 2) / 5).softmax(-1) @ v).transpose(1, 2))


combine(
    "attention between channels (XCiT)",
    _channel_attention,
    lambda: {"q": nn.Linear(6, 8), "k": nn.Linear(6, 10), "v": nn.Linear(6, 10), "f": nn.Linear(8, 3)},
    (5, 6),
    alone=r"^[kv]\.weight",
)
combine(
    "linear attention",
    lambda m, x: m.f(F.relu(m.q(x)) @ (F.softplus(m.k(x)).transpose(1, 2) @ m.v(x))),
    lambda: {"q": nn.Linear(6, 8), "k": nn.Linear(6, 8), "v": nn.Linear(6, 10), "f": nn.Linear(10, 3)},
    (5, 6),
)
combine(
    "learned queries read a map",
    lambda m, x: m.f(
        m.t(m.s.expand(x.shape[0], 3, 16), y := m.a(x).flatten(2).transpose(1, 2), y, need_weights=False)[0].flatten(1)
    ),
    lambda: {
        "a": cbr(3, 16),
        "s": nn.Parameter(torch.randn(1, 3, 16)),
        "t": nn.MultiheadAttention(16, 4, batch_first=True),
        "f": nn.Linear(48, 3),
    },
)
combine(
    "positions and a class token cut off again",
    lambda m, x: m.f((torch.cat([m.c.expand(x.shape[0], 1, 8), m.i(x)], 1) + m.p[:, :6])[:, 1:]),
    lambda: {
        "i": nn.Linear(6, 8),
        "c": nn.Parameter(torch.randn(1, 1, 8)),
        "p": nn.Parameter(torch.randn(1, 9, 8)),
        "f": nn.Linear(8, 3),
    },
    (5, 6),
)
combine(
    "channels-last map flattened by a literal",
    lambda m, x: m.f(m.a(x).permute(0, 2, 3, 1).reshape(-1, 512)),
    lambda: {"a": cbr(3, 8), "f": nn.Linear(512, 3)},
)
combine(
    "channels and rows merged for a Conv1d over columns",
    lambda m, x: m.f(F.relu(m.b(m.a(x).flatten(1, 2)))),
    lambda: {"a": cbr(3, 6), "b": nn.Conv1d(48, 10, 3), "f": nn.Conv1d(10, 2, 1)},
)
combine(
    "patches of pixels as a batch (MobileViT)",
    lambda m, x: m.h(
        F.relu(m.t(m.a(x).reshape(-1, 2, 4, 2).transpose(1, 2).reshape(x.shape[0], 8, 16, 4).transpose(1, 3)))
        .transpose(1, 3).reshape(-1, 4, 2, 2).transpose(1, 2).reshape(x.shape[0], 8, 8, 8)
    ),
    lambda: {"a": cbr(3, 8), "t": nn.Linear(8, 8), "h": conv(8, 2)},
)  # fmt: skip
combine(
    "channels merged with the batch through a relu",
    lambda m, x: m.h(F.relu(m.a(x).reshape(-1, 4, 2, 8).transpose(1, 2)).transpose(1, 2).reshape(-1, 8, 8, 8)),
    lambda: {"a": conv(3, 8), "h": conv(8, 2)},
)
combine(
    "the same kernels for every channel, as one of a larger batch",
    lambda m, x: m.h(F.relu(m.k(m.a(x).view(-1, 1, 8, 8))).view(-1, 16, 8, 8)),
    lambda: {"a": cbr(3, 8), "k": conv(1, 2), "h": conv(16, 2)},
    alone=r"^(a\.0|k)\.weight",
)
combine(
    "mixing over positions by a transposed perceptron",
    lambda m, x: m.f((y := m.i(x)) + m.b(F.gelu(m.a(y.transpose(1, 2)))).transpose(1, 2)),
    lambda: {"i": nn.Linear(6, 8), "a": nn.Linear(5, 12), "b": nn.Linear(12, 5), "f": nn.Linear(8, 3)},
    (5, 6),
    alone=r"^b\.weight",
)
combine(
    "memory of two steps of a cell, gated",
    lambda m, x: m.f(m.g(x[:, 0], h := m.r(x[:, 0])) * torch.sigmoid(m.g(x[:, 1], h))),
    lambda: {"g": nn.GRUCell(6, 8), "r": nn.Linear(6, 8), "f": nn.Linear(8, 3)},
    (2, 6),
)
