"""Which linear layers of a graph have a scale for each channel, and which one for all.

A scale for each channel costs a TFLite file 8 bytes a channel, one float for the weight and one for the bias, and a zero point
of 8 bytes an element for every number of channels. Beside a convolution's weights that is nothing. Beside the weights of
narrow linear layers it is a twentieth of the file or more, and most of it may buy next to nothing: what a layer's rounding
does to the output differs a hundredfold from layer to layer.

So where the scales weigh that much, the noise of every layer at the network's output is measured both ways, and layers give
their scales up in the order of noise added per byte saved, as many as keep the output

    within ``MOST_LOST`` dB of what it is with all scales, and
    at ``ENOUGH`` dB or more: accuracy is spent only where there is more than enough.

The last word has the measured output of the whole network, not the sum of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from edgekit.compress.mixed_precision.noise import measure, output_sqnr_db
from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.ir import Graph, Node, ops
from edgekit.ir.graph import named_state

#: What sharing may cost the output, dB: a third of what a bit less for every weight would.
MOST_LOST = 2.0

#: The output's signal to noise below which nothing is shared, dB: there the error is 2 % of the output's size.
ENOUGH = 35.0

#: The share of the constants' bytes from which scales are worth a thought.
_WEIGHTY = 0.05

_SCALES, _ZERO_POINT = 8, 8


@dataclass(frozen=True)
class LayerScales:
    """One linear layer.

    Attributes:
        layer: the name of its weight.
        channels: at its output.
        shared: all channels have one scale.
        own_noise_db, shared_noise_db: of the weight's rounding alone at the network's output, relative to its signal, with a
            scale for each channel and with one for all.
    """

    layer: str
    channels: int
    shared: bool
    own_noise_db: float
    shared_noise_db: float


@dataclass(frozen=True)
class Granularity:
    """What was chosen.

    Attributes:
        shared: names of the outputs of the layers whose channels share one scale.
        layers: all that were measured, in the order of the graph.
        own_sqnr_db, sqnr_db: of the network's output on the calibration data, with a scale for each channel throughout, and as
            it was chosen.
        saved: bytes of scales and zero points.
    """

    shared: tuple[str, ...]
    layers: tuple[LayerScales, ...]
    own_sqnr_db: float
    sqnr_db: float
    saved: int

    def line(self) -> str:
        """The choice in words."""
        if not self.shared:
            return f"every linear layer keeps a scale for each channel: the output is at {self.sqnr_db:.1f} dB"
        told = f"{len(self.shared)} of {len(self.layers)} linear layers have one scale for all channels"
        told += f", {self.saved:,} bytes less: the output is at {self.sqnr_db:.1f} dB on the calibration data"
        return f"{told}, {self.own_sqnr_db:.1f} with all scales"


def choose_granularity(
    graph: Graph, batches: Sequence[list[torch.Tensor]], quantized: Callable[[Collection[str]], Graph]
) -> Granularity | None:
    """The choice, or None where scales weigh too little to be worth one.

    Args:
        graph: float, after the exact passes.
        batches: calibration inputs.
        quantized: the graph in 8 bits, with one scale for the layers whose outputs it is given the names of.
    """
    linear = [node for node in graph.nodes if isinstance(node.op, ops.Linear) and node.input(1).is_constant]
    if not linear or _scale_bytes(graph, linear) < _WEIGHTY * _constant_bytes(graph):
        return None
    own = quantized(())
    linear = _with_own_scales(linear, own)
    base = output_sqnr_db(graph, own, *batches)
    limit = max(base - MOST_LOST, ENOUGH)
    if not linear or base <= limit:
        return Granularity((), (), base, base, 0)
    uniform = {"own": own, "shared": quantized([node.name for node in linear])}
    noise = measure(graph, batches, uniform.__getitem__, tuple(uniform)).weights
    known = [node for node in linear if {"own", "shared"} <= noise.get(node.name, {}).keys()]
    added = {node.name: (noise[node.name]["shared"] - noise[node.name]["own"]) / _channels(node) for node in known}
    order = sorted(added, key=added.__getitem__)
    count, reached = _longest(order, base, limit, lambda names: output_sqnr_db(graph, quantized(names), *batches))
    shared = set(order[:count])
    left = [node for node in linear if node.name not in shared]
    return Granularity(
        tuple(node.name for node in linear if node.name in shared),
        tuple(_told(graph, node, noise[node.name], node.name in shared) for node in known),
        base,
        reached,
        _scale_bytes(graph, linear) - _scale_bytes(graph, left),
    )


def _longest(order: Sequence[str], base: float, limit: float, sqnr: Callable[[Sequence[str]], float]) -> tuple[int, float]:
    """How many of the first names keep the limit, by bisection, and the figure that they reach."""
    good, reached, bad = 0, base, len(order) + 1
    while bad - good > 1:
        middle = len(order) if bad > len(order) else (good + bad) // 2
        found = sqnr(order[:middle])
        good, reached, bad = (middle, found, bad) if found >= limit else (good, reached, middle)
    return good, reached


def _with_own_scales(linear: Sequence[Node], quantized: Graph) -> list[Node]:
    """The layers that the quantiser gave 8-bit weights with several scales."""
    own = set()
    for node in quantized.nodes:
        if isinstance(node.op, ops.Linear):
            quant = node.input(1).quant
            if quant is not None and quant.per_channel and quant.dtype == "int8":
                own.add(node.output.name)
    return [node for node in linear if node.output.name in own and len(node.input(1).users) == 1]


def _told(graph: Graph, node: Node, noise: dict[str, float], shared: bool) -> LayerScales:
    name = named_state(graph).get(id(node.input(1)), node.input(1).name)
    own, one = (10.0 * math.log10(max(noise[kind], 1e-30)) for kind in ("own", "shared"))
    return LayerScales(name, _channels(node), shared, own, one)


def _channels(node: Node) -> int:
    return node.input(1).tensor_shape[0]


def _scale_bytes(graph: Graph, linear: Sequence[Node]) -> int:
    """Of the scales of these layers, and of the zero points that convolutions do not need anyway."""
    convolutions = [node for node in graph.nodes if isinstance(node.op, WEIGHTED) and not isinstance(node.op, ops.Linear)]
    others = {node.output.tensor_shape[1] for node in convolutions}
    counts = [_channels(node) for node in linear]
    return _SCALES * sum(counts) + _ZERO_POINT * sum(set(counts) - others)


def _constant_bytes(graph: Graph) -> int:
    """About what the constants of an 8-bit file take: a byte a weight, four for everything else."""
    weights = {id(n.input(1)) for n in graph.nodes if isinstance(n.op, WEIGHTED)}
    return sum(v.tensor.numel() * (1 if id(v) in weights else 4) for v in graph.constants())
