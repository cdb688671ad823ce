"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from benchmarks.operators.row import layer

SEQUENCE = (6, 5)


class Whole(nn.Module):
    """A recurrent layer with its final states among the outputs."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, states = self.recurrent(x)
        return (y, *states) if isinstance(states, tuple) else (y, states)


class Sequence(nn.Module):
    """A recurrent layer's outputs alone."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> Tensor:
        return self.recurrent(x)[0]


class Started(nn.Module):
    """An LSTM whose first states are inputs."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.lstm(x, (h.unsqueeze(0), c.unsqueeze(0)))
        return y, h, c


class Stepped(nn.Module):
    """A cell called step by step in the user's own loop."""

    def __init__(self, cell: Callable[[int, int], nn.RNNCellBase], width: int) -> None:
        super().__init__()
        self.cell = cell(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return state[0] if isinstance(state, tuple) else state


class TimeFirst(nn.Module):
    """An LSTM that takes time before the batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x.transpose(0, 1))[0].transpose(0, 1)


def _options(kind: type[nn.RNNBase], width: int, **options: object) -> nn.Module:
    return Sequence(kind(width, 4, batch_first=True, **options))


ROWS = (
    layer("nn.LSTM", lambda x: Sequence(nn.LSTM(x[-1], 4, batch_first=True)), SEQUENCE),
    layer("nn.LSTM, states read", lambda x: Whole(nn.LSTM(x[-1], 4, batch_first=True)), SEQUENCE),
    layer("nn.LSTM, two layers", lambda x: _options(nn.LSTM, x[-1], num_layers=2), SEQUENCE),
    layer("nn.LSTM, bidirectional", lambda x: _options(nn.LSTM, x[-1], bidirectional=True), SEQUENCE),
    layer(
        "nn.LSTM, two layers, bidirectional, states read",
        lambda x: Whole(nn.LSTM(x[-1], 4, 2, batch_first=True, bidirectional=True)),
        SEQUENCE,
    ),
    layer("nn.LSTM, without bias", lambda x: _options(nn.LSTM, x[-1], bias=False), SEQUENCE),
    layer(
        "nn.LSTM, proj_size", lambda x: _options(nn.LSTM, x[-1], proj_size=3), SEQUENCE, refused={"source": "proj"}, fuzz=False
    ),
    layer("nn.LSTM, first states given", lambda x, h, c: Started(x[-1], h[-1]), SEQUENCE, (4,), (4,)),
    layer("nn.GRU", lambda x: _options(nn.GRU, x[-1]), SEQUENCE),
    layer(
        "nn.GRU, two layers, bidirectional, states read",
        lambda x: Whole(nn.GRU(x[-1], 4, 2, batch_first=True, bidirectional=True)),
        SEQUENCE,
    ),
    layer("nn.GRU, without bias", lambda x: _options(nn.GRU, x[-1], bias=False), SEQUENCE),
    layer("nn.RNN, tanh", lambda x: _options(nn.RNN, x[-1]), SEQUENCE),
    layer(
        "nn.RNN, relu, two layers, bidirectional",
        lambda x: _options(nn.RNN, x[-1], nonlinearity="relu", num_layers=2, bidirectional=True),
        SEQUENCE,
    ),
    layer("nn.LSTM, batch_first=False", lambda x: TimeFirst(x[-1]), SEQUENCE),
    layer("nn.LSTMCell in a loop", lambda x: Stepped(nn.LSTMCell, x[-1]), SEQUENCE),
    layer("nn.GRUCell in a loop", lambda x: Stepped(nn.GRUCell, x[-1]), SEQUENCE),
    layer("nn.RNNCell in a loop", lambda x: Stepped(nn.RNNCell, x[-1]), SEQUENCE),
)
