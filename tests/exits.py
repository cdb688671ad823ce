"""A small network with three exits, and inputs of which some leave at each."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from edgekit.compress.quantize.policy import POLICIES
from edgekit.compress.quantize.post_training import quantize
from edgekit.frontend.source import load
from edgekit.ir import Graph, Node, ops
from edgekit.ir.ops import certainty
from edgekit.passes.base import run_passes
from edgekit.passes.pipeline import EXACT

TEMPERATURES = (1.0, 1.7)


class Exits(nn.Module):
    """A residual network with a classifier behind each of three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.c = nn.Conv2d(16, 16, 3, padding=1)
        self.heads = nn.ModuleList([nn.Linear(8, 5), nn.Linear(16, 5), nn.Linear(16, 5)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits of all exits."""
        x = torch.relu(self.a(x))
        first = x
        x = torch.relu(self.b(x))
        stages = (first, x, torch.relu(self.c(x)) + x)
        return tuple(8.0 * head(stage.mean((2, 3))) for head, stage in zip(self.heads, stages, strict=True))


def samples(count: int, seed: int = 1) -> torch.Tensor:
    """Images of very different contrast."""
    generator = torch.Generator().manual_seed(seed)
    contrast = torch.rand(count, 1, 1, 1, generator=generator)
    return torch.randn(count, 3, 16, 16, generator=generator) * contrast * 3


def choice(graph: Graph) -> Node:
    """The node that chooses."""
    return next(node for node in graph.nodes if isinstance(node.op, ops.ChooseExit))


def exit_logits(graph: Graph, index: int) -> Graph:
    """A graph of one exit alone."""
    out = graph.copy()
    value = choice(out).input(index)
    out.outputs, out.signature = [value], None
    out.eliminate_dead()
    return out


def network(score: str = "confidence", temperatures: tuple[float, ...] = TEMPERATURES) -> Graph:
    """The float graph, with thresholds between the middle two scores of 200 samples: about half of them leave at each exit."""
    return _network(score, temperatures).copy()


@cache
def _network(score: str, temperatures: tuple[float, ...]) -> Graph:
    torch.manual_seed(0)
    graph = load(Exits().eval(), example_inputs=(torch.randn(2, 3, 16, 16),))
    x = samples(200)
    with torch.no_grad():
        logits = graph.module().eval()(x)
    scores = [certainty(y, score, t).flatten().sort().values for y, t in zip(logits, temperatures, strict=False)]
    thresholds = tuple(float((s[99] + s[100]) / 2) for s in scores)
    answer = graph.add(ops.ChooseExit(score, temperatures, thresholds), *graph.outputs, name="answer")
    graph.outputs, graph.signature = [answer], None
    return run_passes(graph, EXACT)[0]


def quantized(graph: Graph, runtime: str = "litert") -> Graph:
    """The same in integers, calibrated on 64 samples."""
    return quantize(graph, [[samples(64, seed=2)]], policy=POLICIES[runtime])[0]


def taken(graph: Graph, x: torch.Tensor) -> list[int]:
    """How many samples leave at each exit of the float graph."""
    with torch.no_grad():
        answer = graph.module().eval()(x)
        exits = [exit_logits(graph, index).module().eval()(x) for index in range(len(choice(graph).inputs))]
    left = torch.ones(len(x), dtype=torch.bool)
    counts = []
    for logits in exits:
        here = left & (logits == answer).all(1)
        counts.append(int(here.sum()))
        left &= ~here
    return counts
