"""The finest output scale that is worth having, and that the runtimes' kernels take.

An integer kernel multiplies by the ratio of input and output scale. Where calibration saw next to nothing of an output (a
dead branch, a difference that cancels), that ratio explodes: LiteRT's ADD aborts from 2^19 on, HARD_SWISH refuses a ratio of
128, XNNPACK leaves convolutions with a ratio of 256 to slow kernels. An output step finer than a hundredth of the step of
what is added up resolves nothing but rounding error, so the output's range is widened to that.

What a kernel adds up must fit 32 bits in output steps too: where it does not, LiteRT's 16-bit kernels wrap around, and a
channel that a large negative bias keeps at zero gives numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from edgekit.compress.quantize.borders import WEIGHTED, Modes, is_activation
from edgekit.compress.quantize.groups import Groups
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.params import activation_params, span
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.quant import RANGES

#: The smallest share of an input step that an output step is.
_FINEST = 0.01

#: The most output steps that a sum of products and bias may come to.
_MOST_STEPS = 2.0**30


def widen_ranges(
    graph: Graph, modes: Modes, groups: Groups, ranges: dict[int, tuple[float, float]], layers: Layers | None = None
) -> None:
    """Changes ``ranges`` ((low, high) by ``id(group)``) so that no output scale is too fine for its node.

    ``layers`` says which integers weights become; int8 by default.
    """
    layers = layers or Layers(graph)

    def scale_of(value: Value, node: Node) -> float:
        if value.is_constant:
            return activation_params(*span(value.tensor), modes.computes_in(node)).scale[0]
        group = groups.of(value)
        return (group.fixed or activation_params(*ranges[id(group)], group.type)).scale[0]

    changed = True
    while changed:  # a group that is widened may be read by a node that stands before
        changed = False
        for node in graph.nodes:
            if id(node) not in modes.nodes or not is_activation(node.output):
                continue
            group = groups.of(node.output)
            most = _largest(node, scale_of, modes.computes_in(node)) / _MOST_STEPS
            floor = max(_FINEST * _unit(node, scale_of, layers.of(node).weights), most)
            if group.fixed is None and scale_of(node.output, node) < floor:
                ranges[id(group)] = _widened(*ranges[id(group)], floor, group.type)
                changed = True


def _unit(node: Node, scale_of: Callable[[Value, Node], float], weights: str) -> float:
    """The real value of one step of what the kernel adds up; 0 for kernels that only move integers."""
    if isinstance(node.op, WEIGHTED):
        largest = float(node.input(1).tensor.detach().abs().max())
        return scale_of(node.input(0), node) * largest / RANGES[weights][1]
    if isinstance(node.op, ops.Mul | ops.Matmul):
        return scale_of(node.input(0), node) * scale_of(node.input(1), node)
    if isinstance(node.op, ops.Add | ops.Sub):
        return max(scale_of(node.input(0), node), scale_of(node.input(1), node))
    if isinstance(node.op, ops.Hardswish | ops.LeakyRelu | ops.Prelu | ops.Mean | ops.AdaptiveAvgPool2d):
        return scale_of(node.input(0), node)
    return 0.0


def _largest(node: Node, scale_of: Callable[[Value, Node], float], kind: str) -> float:
    """What a layer may add up to at most, before its activation; 0 for other nodes. ``kind``: of its input's integers."""
    if not isinstance(node.op, WEIGHTED):
        return 0.0
    weight, bias = node.input(1).tensor.detach().abs().double(), node.optional(2)
    by_row = not isinstance(node.op, ops.ConvTranspose1d | ops.ConvTranspose2d)  # there the whole weight bounds every channel
    gains = weight.flatten(1).sum(1) if by_row else weight.sum()
    least, most = RANGES[kind]
    sums = gains * (scale_of(node.input(0), node) * (most - least))
    return float((sums if bias is None else sums + bias.tensor.detach().abs()).max())


def _widened(low: float, high: float, scale: float, type: str) -> tuple[float, float]:
    """The range in the same proportions with at least this scale; one that is only zero becomes positive."""
    scale *= 1.0 + 1e-6  # rounding must not make it narrower than asked for
    low, high = min(low, 0.0), max(high, 0.0)
    qmin, qmax = RANGES[type]
    if low == high:
        return 0.0, scale * (qmax - qmin)
    now = max(-low, high) / qmax if type == "int16" else (high - low) / (qmax - qmin)
    return low * (scale / now), high * (scale / now)
