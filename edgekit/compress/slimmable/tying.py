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
from edgekit.compress.quantize.rounding.matrix import TRANSPOSED
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
        axis = _axis(node)
        factors = _factors(node.input(1).tensor, part, theirs.input(1).tensor, axis)
        if factors is None:
            apart.append(name)
            continue
        layers.append(name)
        source = part(theirs.input(1).tensor.detach())
        data, least = _integers(written.input(1), part, factors, axis) or (source * _along(factors, axis, source.dim()), None)
        rows = torch.isfinite(factors)
        old = node.input(1)
        old.data = torch.where(_along(rows, axis, data.dim()), data, old.tensor.detach())
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
    """Layers whose weight is a constant with numbers of its own for each output, by its name."""
    layers = [node for node in graph.nodes if isinstance(node.op, WEIGHTED) and node.input(1).is_constant]
    return {node.input(1).name: node for node in layers if not isinstance(node.op, TRANSPOSED) or node.op.groups == 1}


def _axis(node: Node) -> int:
    """The axis of a weight that its outputs lie along: what is called a row here is one output's numbers."""
    return 1 if isinstance(node.op, TRANSPOSED) else 0


def _along(rows: Tensor, axis: int, dimensions: int) -> Tensor:
    """A number for each row, in a shape that multiplies the weight."""
    return rows.reshape(*[1] * axis, -1, *[1] * (dimensions - axis - 1))


def _rows(tensor: Tensor, axis: int) -> Tensor:
    """(rows, numbers of each)."""
    return tensor.movedim(axis, 0).flatten(1)


def _factors(weight: Tensor, part: Callable[[Tensor], Tensor], theirs: Tensor, axis: int) -> Tensor | None:
    """For each row the number that makes the larger network's row this one, NaN where none does; None where shapes differ.

    The least squares r = <w, v> / <v, v>, looked at element by element.
    """
    try:
        source = part(theirs.detach()).double()
    except (IndexError, RuntimeError):  # the passes gave the weight another shape
        return None
    if source.shape != weight.shape:
        return None
    w, v = _rows(weight.detach().double(), axis), _rows(source, axis)
    squares = (v * v).sum(1)
    factors = torch.where(squares > 0, (w * v).sum(1) / squares.clamp(min=1e-300), 1.0)
    far = (w - factors[:, None] * v).abs().amax(1) > _NEAR * w.abs().amax(1)
    factors = torch.where(far | (factors == 0), torch.nan, factors).float()
    return factors if bool(torch.isfinite(factors).any()) else None


def _integers(written: Value, part: Callable[[Tensor], Tensor], factors: Tensor, axis: int) -> tuple[Tensor, Tensor] | None:
    """The larger network's integers as real numbers at this size's scales, and these; None where it has no 8-bit rows."""
    quant = written.quant
    if quant is None or quant.dtype != "int8" or quant.axis != axis:
        return None
    integers = quantize_constant(written.tensor, quant)
    scale, _ = quant.tensors(integers.dim())
    theirs = _rows(part(scale.expand(integers.shape)), axis)[:, 0]
    least = _short(theirs * factors.abs())
    data = part(integers.float()) * _along(torch.sign(factors) * least, axis, integers.dim())
    return data * _SHRUNK, least


def _short(scales: Tensor) -> Tensor:
    """Rounded to the eight leading bits, which a delivery holds in a byte or so: a gain that is off by 0.2 % at most."""
    return scales.float().bfloat16().float()
