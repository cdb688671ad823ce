"""Networks over time, and their streams run call by call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from edgekit.compress.quantize.post_training import PostTraining
from edgekit.compress.quantize.post_training import quantize as quantize_graph
from edgekit.formats.stream_record import StreamOutput
from edgekit.frontend.source import load
from edgekit.ir import Graph, QuantParams
from edgekit.ir.quantized_data import quantize
from edgekit.passes import EXACT, run_passes


class Causal(nn.Module):
    """A convolution over time that is padded on the left alone."""

    def __init__(self, channels: int, out: int, kernel: int, dilation: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.left = dilation * (kernel - 1)
        self.conv = nn.Conv1d(channels, out, kernel, stride, dilation=dilation, groups=groups)
        self.norm = nn.BatchNorm1d(out)
        self.norm.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(F.pad(x, (self.left, 0)))))


class Residual(nn.Module):
    """Blocks of a temporal convolutional network (Bai et al. 2018, arXiv:1803.01271), every step classified."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Causal(4, 8, 3), Causal(8, 8, 3, dilation=2)
        self.third, self.head = Causal(8, 8, 3, dilation=4, groups=8), nn.Conv1d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + self.second(x)
        return self.head(torch.cat([x, self.third(x)], 1)[:, :8] + x)


class Unpadded(nn.Module):
    """Convolutions without padding, a residual that is cut to fit, and branches of different reach."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv1d(4, 8, 3), nn.Conv1d(8, 8, 5), nn.Conv1d(8, 8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        return torch.cat([self.b(x) + x[:, :, 4:], torch.tanh(self.c(x))[:, :, 3:]], 1)


class Chomped(nn.Module):
    """Padding on both sides of which the right one is cut off again, as many write causal networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, dilation=3, padding=6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.conv(x)[:, :, :-6].contiguous())


class Keywords(nn.Module):
    """A keyword network on (time, features) pictures: strided and depthwise convolutions, pooled over the window."""

    def __init__(self, padded: bool = True) -> None:
        super().__init__()
        self.padded = padded
        self.first = nn.Conv2d(1, 8, (4, 3), stride=(2, 2), padding=(0, 1))
        self.depthwise, self.pointwise = nn.Conv2d(8, 8, (3, 3), padding=(0, 1), groups=8), nn.Conv2d(8, 12, 1)
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(F.pad(x, (0, 0, 3, 0)) if self.padded else x))
        x = torch.relu(self.pointwise(self.depthwise(F.pad(x, (0, 0, 2, 0)) if self.padded else x)))
        return self.head(x.mean((2, 3)))


class Flattened(nn.Module):
    """A causal network whose window is read by a linear layer, as in microWakeWord."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = Causal(4, 6, 5), nn.Linear(6 * 20, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.head(self.conv(x).flatten(1)))


class Recurrent(nn.Module):
    """A strided convolution, a recurrent layer, and either the last step or all steps classified."""

    def __init__(self, layer: str, last: bool) -> None:
        super().__init__()
        kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
        self.conv, self.last = Causal(4, 6, 3, stride=2), last
        self.layer, self.head = kinds[layer](6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.layer(self.conv(x).transpose(1, 2))
        return self.head(y[:, -1] if self.last else y)


class Pooled(nn.Module):
    """Pools over time, by the maximum and by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.score = Causal(4, 6, 3), nn.Conv1d(6, 1, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.max_pool1d(F.avg_pool1d(F.pad(self.conv(x), (2, 0)), 3, 1), 2)
        weights = torch.softmax(self.score(x), 2)
        return (x * weights).sum(2), x.amax(2)


#: Graph inputs to graph outputs, and what two executions gave.
Execute = Callable[[list[torch.Tensor]], list[torch.Tensor]]
Compared = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A network, the shape of its window, and its time axis."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    time: int = -1


CASES = {
    "residual blocks": Case(Residual, (4, 24)),
    "convolutions without padding": Case(Unpadded, (4, 24)),
    "padding that is cut off": Case(Chomped, (4, 24)),
    "a keyword network": Case(Keywords, (1, 25, 10), 2),
    "a keyword network without padding": Case(lambda: Keywords(padded=False), (1, 26, 10), 2),
    "a flattened window": Case(Flattened, (4, 20)),
    "lstm, last step": Case(lambda: Recurrent("lstm", last=True), (4, 24)),
    "gru, all steps": Case(lambda: Recurrent("gru", last=False), (4, 24)),
    "rnn, last step": Case(lambda: Recurrent("rnn", last=True), (4, 24)),
    "pools": Case(Pooled, (4, 24)),
}


@cache
def window_graph(case: Case) -> Graph:
    """The network on windows, after the exact passes. Nobody changes it."""
    torch.manual_seed(0)
    return run_passes(load(case.make().eval(), (torch.randn(1, *case.shape),)), EXACT)[0]


@cache
def quantized_graph(case: Case) -> Graph:
    """The network on windows in 8-bit integers."""
    options = PostTraining(observer="min_max", bias_correction=False)
    return quantize_graph(window_graph(case), [[windows(case, 4)]], options=options)[0]


def windows(case: Case, count: int = 3) -> torch.Tensor:
    """Windows of noise."""
    return torch.randn(count, *case.shape, generator=torch.Generator().manual_seed(1))


def stepped(graph: Graph, x: torch.Tensor, calls: int, execute: Execute) -> list[list[torch.Tensor]]:
    """The outputs of every call on a stream, which is zero behind the end of ``x``; the states are handed on as they are."""
    record = graph.stream
    assert record is not None
    (axis,) = [axis for _, axis in record.inputs]
    behind = max(0, calls * record.hop - x.shape[axis])
    x = torch.cat([x, x.new_zeros([behind if i == axis else size for i, size in enumerate(x.shape)])], axis)
    states = graph.inputs[1:]
    held = [_start(state.type.at(len(x)), state.quant) for state in states]
    results = []
    for call in range(calls):
        frame = x.narrow(axis, call * record.hop, record.hop)
        given = execute([frame, *held])
        results.append(given[: len(record.outputs)])
        held = given[len(record.outputs) :]
    return results


def _start(shape: tuple[int, ...], quant: QuantParams | None) -> torch.Tensor:
    zeros = torch.zeros(shape)
    return zeros if quant is None else quantize(zeros, quant)


def compared(output: StreamOutput, calls: list[torch.Tensor], offline: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the stream gave and what the model on windows gives, where both are to be equal."""
    if output.axis is None:
        return calls[output.ready - 1], offline
    stream = torch.cat(calls, output.axis)
    first, last = output.warm, min(offline.shape[output.axis], stream.shape[output.axis] - output.offset)
    mine = stream.narrow(output.axis, output.offset + first, last - first)
    return mine, offline.narrow(output.axis, first, last - first)


def equal_parts(graph: Graph, x: torch.Tensor, offline: list[torch.Tensor], execute: Execute) -> list[Compared]:
    """For each output, what the stream and the model on windows give where both are to be equal."""
    assert graph.stream is not None
    results = stepped(graph, x, calls_of(graph), execute)
    return [
        compared(output, [call[place] for call in results], offline[place]) for place, output in enumerate(graph.stream.outputs)
    ]


def calls_of(graph: Graph) -> int:
    """Calls that make up a window."""
    assert graph.stream is not None
    return -(-graph.stream.window // graph.stream.hop)
