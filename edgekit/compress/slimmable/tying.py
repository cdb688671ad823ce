"""Files of several sizes that share their weights: a smaller one's are made of the largest one's, for one delivery of all.

Batch norms are each size's own, and are folded into the weights before them: row o of a smaller network's weight is a factor
r_o times the first numbers of the largest network's row. A float weight is written as just that product, rounded once. An
integer weight has the very integers of the largest one, with the scale r_o times theirs (its sign goes into the integers):
what differs between sizes is a number for each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.ir import Graph, Node, Value
from edgekit.ir.quantized_data import quantize_constant

#: A row is a multiple of another if no element is further from it than this share of the row's largest.
_NEAR = 1e-4

#: What is left of the room below a scale, so that the largest integer's real number does not round to a larger scale.
_SHRUNK = 1.0 - 2.0**-20

#: By the name of a weight: what takes a smaller network's part of the larger one's.
Parts = Mapping[str, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Within:
    """A larger network that a smaller one's weights are parts of.

    Attributes:
        parts: which.
        floats: the larger network as the smaller one is given: in float, after the same passes.
        stored: the same as it was exported, with its integers.
    """

    parts: Parts = field(repr=False)
    floats: Graph = field(repr=False)
    stored: Graph = field(repr=False)


@dataclass(frozen=True)
class Tied:
    """A smaller network whose weights are parts of the larger one's.

    Attributes:
        graph: a copy.
        scales: by the name of a layer's output, the least scale of each row of its weight: where it is that, its integers are
            the larger network's.
        layers: names of the layers that were tied.
        apart: names of those that were not: their rows are no multiples of the larger network's.
    """

    graph: Graph
    scales: dict[str, Tensor]
    layers: tuple[str, ...]
    apart: tuple[str, ...]


def tie(graph: Graph, within: Within) -> Tied:
    """Writes a smaller network's weights as multiples of parts of the larger one's.

    Args:
        graph: the smaller network, in float, after the exact passes; is left as it is.
        within: the larger one.
    """
    tied = graph.copy()
    floats, stored = _weights(within.floats), _weights(within.stored)
    scales: dict[str, Tensor] = {}
    layers: list[str] = []
    apart: list[str] = []
    for weight, node in _weights(tied).items():
        name, part, theirs, written = node.name, within.parts.get(weight), floats.get(weight), stored.get(weight)
        if part is None or theirs is None or written is None or len(node.input(1).users) > 1:
            apart.append(name)
            continue
        factors = _factors(node.input(1).tensor, part, theirs.input(1).tensor)
        if factors is None:
            apart.append(name)
            continue
        layers.append(name)
        data, least = _integers(written.input(1), part, factors) or (_product(theirs.input(1).tensor, part, factors), None)
        rows = torch.isfinite(factors)
        old = node.input(1)
        old.data = torch.where(rows.reshape(-1, *[1] * (data.dim() - 1)), data, old.tensor.detach())
        if least is not None:
            scales[name] = torch.where(rows, least, 0.0)
    return Tied(tied, scales, tuple(layers), tuple(apart))


def shorten_biases(graph: Graph, layers: Collection[str]) -> None:
    """Rounds the integers of these layers' biases, in place, to multiples of a power of two: at most 1/8 of an output step.

    That is lost in the rounding of the output, and takes half a byte to a whole one of each out of a delivery.
    """
    for node in graph.nodes:
        bias, written = node.optional(2), node.output.quant
        if node.name not in layers or bias is None or bias.quant is None or written is None or bias.quant.dtype != "int32":
            continue
        step = torch.tensor(bias.quant.scale, dtype=torch.float64)
        power = torch.exp2(torch.floor(torch.log2(written.scale[0] / step / 8)).clamp(min=0))
        data = torch.round(bias.tensor.detach().double() / (step * power)) * power * step
        bias.data = data.to(bias.tensor.dtype)


def _weights(graph: Graph) -> dict[str, Node]:
    """Layers whose weight is a constant with a row for each output, by its name."""
    rows = [node for node in graph.nodes if isinstance(node.op, WEIGHTED) and node.input(1).is_constant]
    return {node.input(1).name: node for node in rows if not type(node.op).__name__.startswith("ConvTranspose")}


def _factors(weight: Tensor, part: Callable[[Tensor], Tensor], theirs: Tensor) -> Tensor | None:
    """For each row the number that makes the larger network's row this one, NaN where none does; None where shapes differ.

    The least squares r = <w, v> / <v, v>, looked at element by element.
    """
    try:
        source = part(theirs.detach()).double()
    except (IndexError, RuntimeError):  # the passes gave the weight another shape
        return None
    if source.shape != weight.shape:
        return None
    w, v = weight.detach().double().flatten(1), source.flatten(1)
    squares = (v * v).sum(1)
    factors = torch.where(squares > 0, (w * v).sum(1) / squares.clamp(min=1e-300), 1.0)
    far = (w - factors[:, None] * v).abs().amax(1) > _NEAR * w.abs().amax(1)
    factors = torch.where(far | (factors == 0), torch.nan, factors).float()
    return factors if bool(torch.isfinite(factors).any()) else None


def _product(theirs: Tensor, part: Callable[[Tensor], Tensor], factors: Tensor) -> Tensor:
    source = part(theirs.detach())
    return source * factors.reshape(-1, *[1] * (source.dim() - 1))


def _integers(written: Value, part: Callable[[Tensor], Tensor], factors: Tensor) -> tuple[Tensor, Tensor] | None:
    """The larger network's integers as real numbers at this size's scales, and these; None where it has no 8-bit rows."""
    quant = written.quant
    if quant is None or quant.dtype != "int8" or quant.axis != 0:
        return None
    integers = quantize_constant(written.tensor, quant)
    scale, _ = quant.tensors(integers.dim())
    theirs = part(scale.expand(integers.shape)).flatten(1)[:, 0]
    least = _short(theirs * factors.abs())
    shape = (-1, *[1] * (integers.dim() - 1))
    data = part(integers.float()) * (torch.sign(factors) * least).reshape(shape)
    return data * _SHRUNK, least


def _short(scales: Tensor) -> Tensor:
    """Rounded to the eight leading bits, which a delivery holds in a byte or so: a gain that is off by 0.2 % at most."""
    return scales.float().bfloat16().float()
