"""Conv1d, recurrent layers, embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compress.prune.structures.common import cbr, net, structure

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


def _cells(m: Any, x: Tensor) -> Tensor:
    h = torch.zeros(x.shape[0], 8)
    k, c = h, h
    for step in range(3):
        h = m.a(x[:, step], h)
        k, c = m.b(h, (k, c))
    return m.f(k)  # type: ignore[no-any-return]


net(
    "unrolled GRU and LSTM cells",
    _cells,
    lambda: {"a": nn.GRUCell(6, 8), "b": nn.LSTMCell(8, 8), "f": nn.Linear(8, 3)},
    shape=(3, 6),
)
