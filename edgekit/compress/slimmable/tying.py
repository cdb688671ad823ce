"""Files of several sizes that share their weights: a smaller one's are made of the largest one's, for one delivery of all.

Batch norms are each size's own, and are folded into the weights before them: row o of a smaller network's weight is a factor
r_o times the first numbers of the largest network's row. A float weight is written as just that product, rounded once. An
integer weight has the very integers of the largest one, with the scale r_o times theirs (its sign goes into the integers):
what differs between sizes is a number for each channel. Matrices of recurrent layers, into which nothing is folded, are parts
as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.dynamic_range import RECURRENT
from edgekit.compress.slimmable.layer_weights import output_axis, weights
from edgekit.ir import Graph, Value
from edgekit.ir.quantized_data import quantize_constant

#: A row is a multiple of another if no element is further from it than this share of the row's largest.
_NEAR = 1e-4

#: What is left of the room below a scale, so that the largest integer's real number does not round to a larger scale.
_SHRUNK = 1.0 - 2.0**-20

#: What takes a smaller network's part of the larger one's weight; and such by the name of the weight.
Part = Callable[[Tensor], Tensor]
Parts = Mapping[str, Part]


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
        scales: by the name of a weight, the least scale of each of its rows: where it is that, its integers are the larger
            network's.
        layers: names of the layers that were tied.
        apart: names of those that were not: their rows are no multiples of the larger network's.
    """

    graph: Graph
    scales: dict[str, Tensor]
    layers: tuple[str, ...]
    apart: tuple[str, ...]


def tie(graph: Graph, within: Within, integers: Collection[str] | None = None) -> Tied:
    """Writes a smaller network's weights as multiples of parts of the larger one's.

    Args:
        graph: the smaller network, in float, after the exact passes; is left as it is.
        within: the larger one.
        integers: names of the weights that will be integers; None: those that are integers in the larger one.
    """
    tied = graph.copy()
    floats, stored = weights(within.floats), weights(within.stored)
    scales: dict[str, Tensor] = {}
    layers: dict[str, None] = {}
    apart: dict[str, None] = {}
    for name, (node, value) in weights(tied).items():
        made, recurrent = None, isinstance(node.op, RECURRENT)
        if name in within.parts and name in floats and name in stored and (recurrent or len(value.users) == 1):
            part, theirs, written = within.parts[name], floats[name][1].tensor.detach(), stored[name][1]
            if integers is None or written.quant is None or name in integers:
                made = (_same if recurrent else _multiple)(value.tensor.detach(), part, theirs, written, output_axis(node))
        if made is None:
            apart[node.name] = None
            continue
        layers[node.name] = None
        if made.data is not None:
            value.data = made.data
        if made.least is not None:
            scales[name] = made.least
    return Tied(tied, scales, tuple(layers), tuple(apart))


def shorten_biases(graph: Graph, layers: Collection[str]) -> None:
    """Rounds the integers of these layers' biases, in place, to multiples of a power of two: at most 1/8 of an output step.

    That is lost in the rounding of the output, and takes half a byte to a whole one of each out of a delivery.
    """
    for node in graph.nodes:
        bias, written = node.optional(2), node.output.quant
        if (
            node.name not in layers
            or not isinstance(node.op, WEIGHTED)
            or bias is None
            or bias.quant is None
            or written is None
            or bias.quant.dtype != "int32"
        ):
            continue
        step = torch.tensor(bias.quant.scale, dtype=torch.float64)
        power = torch.exp2(torch.floor(torch.log2(written.scale[0] / step / 8)).clamp(min=0))
        data = torch.round(bias.tensor.detach().double() / (step * power)) * power * step
        bias.data = data.to(bias.tensor.dtype)


def _along(rows: Tensor, axis: int, dimensions: int) -> Tensor:
    """A number for each row, which is what one output has of a weight, in a shape that multiplies the weight."""
    return rows.reshape(*[1] * axis, -1, *[1] * (dimensions - axis - 1))


def _rows(tensor: Tensor, axis: int) -> Tensor:
    """(rows, numbers of each)."""
    return tensor.movedim(axis, 0).flatten(1)


@dataclass(frozen=True)
class _Made:
    """A weight that is made of the larger network's: its numbers, where they change, and the least scales of its rows."""

    data: Tensor | None
    least: Tensor | None


def _same(weight: Tensor, part: Part, theirs: Tensor, written: Value, axis: int) -> _Made | None:
    """Nothing is folded into a recurrent layer: its matrices are parts as they are, and integers with the same scales."""
    source = _part(part, theirs, weight.shape)
    if source is None or not torch.equal(source, weight):
        return None
    quant = written.quant
    if quant is None or quant.dtype != "int8" or quant.axis != axis:
        return _Made(None, None)
    scale, _ = quant.tensors(theirs.dim())
    return _Made(None, _rows(part(scale.expand(theirs.shape)), axis)[:, 0])


def _multiple(weight: Tensor, part: Part, theirs: Tensor, written: Value, axis: int) -> _Made | None:
    """Each row is the larger network's times a number."""
    source = _part(part, theirs, weight.shape)
    factors = None if source is None else _factors(weight, source, axis)
    if source is None or factors is None:
        return None
    data, least = _integers(written, part, factors, axis) or (source * _along(factors, axis, source.dim()), None)
    rows = torch.isfinite(factors)
    data = torch.where(_along(rows, axis, data.dim()), data, weight)
    return _Made(data, None if least is None else torch.where(rows, least, 0.0))


def _part(part: Part, theirs: Tensor, shape: torch.Size) -> Tensor | None:
    """None where the passes gave the weight another shape."""
    try:
        source = part(theirs)
    except (IndexError, RuntimeError):
        return None
    return source if source.shape == shape else None


def _factors(weight: Tensor, source: Tensor, axis: int) -> Tensor | None:
    """For each row the number that makes the larger network's row this one, NaN where none does; None where none has one.

    The least squares r = <w, v> / <v, v>, looked at element by element.
    """
    w, v = _rows(weight.double(), axis), _rows(source.double(), axis)
    squares = (v * v).sum(1)
    factors = torch.where(squares > 0, (w * v).sum(1) / squares.clamp(min=1e-300), 1.0)
    far = (w - factors[:, None] * v).abs().amax(1) > _NEAR * w.abs().amax(1)
    factors = torch.where(far | (factors == 0), torch.nan, factors).float()
    return factors if bool(torch.isfinite(factors).any()) else None


def _integers(written: Value, part: Part, factors: Tensor, axis: int) -> tuple[Tensor, Tensor] | None:
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
