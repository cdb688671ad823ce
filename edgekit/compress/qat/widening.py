"""Output scales that fit the coarse steps of few-bit weights, before training begins.

Calibration gives every output a scale that 8-bit weights go with. In 4 and 2 bits the steps of the weights are 10 to 250 times
as coarse. Where calibration saw next to nothing of an output (a dead branch, a difference that cancels), the ratio of what the
kernel adds up and what it gives, s_x s_w / s_y, then reaches 256, with which XNNPACK loads no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgekit.compress.qat.initial import initial_steps
from edgekit.compress.quantize.borders import WEIGHTED, is_activation
from edgekit.compress.quantize.groups import Groups
from edgekit.ir import Graph, Node, QuantParams, Value

#: The ratio that a layer begins with at most; training moves it, and 256 is the end.
LARGEST_START = 100.0


def widen_outputs(graph: Graph, groups: Groups, types: Mapping[str, str], start: str) -> None:
    """Makes scales of outputs coarser where the weights' steps ask for it, in place; zero points stay.

    Args:
        graph: quantised, with 8-bit weights.
        groups: of its integer values: a group changes as a whole.
        types: by the name of a weight: "int8", "int4" or "int2".
        start: how steps begin; see ``initial_steps``.
    """
    layers = [(node, step) for node in graph.nodes if (step := _largest_step(node, types, start)) is not None]
    members = [value for value in graph.values() if value.quant is not None and is_activation(value)]
    changed = True
    while changed:  # an output that becomes coarser is another layer's input
        changed = False
        for node, step in layers:
            group, floor = groups.of(node.output), _scale(node.input(0)) * step / LARGEST_START
            if group.fixed is not None or _scale(node.output) >= floor * (1 - 1e-6):
                continue
            changed = True
            for value in members:
                if groups.of(value) is group and value.quant is not None:
                    value.quant = replace(value.quant, scale=(floor,))


def _largest_step(node: Node, types: Mapping[str, str], start: str) -> float | None:
    """Of a layer's weight, where it is an integer one."""
    if not isinstance(node.op, WEIGHTED) or not node.input(1).is_constant:
        return None
    weight = node.input(1)
    given = weight.quant
    if given is None or node.input(0).quant is None or node.output.quant is None:
        return None
    dtype = types.get(weight.name, given.dtype)
    grid = QuantParams(dtype, given.scale, given.zero_point, given.axis, narrow=dtype != "int2")
    return float(initial_steps(weight.tensor, grid.axis, grid.qmin, grid.qmax, start).max())


def _scale(value: Value) -> float:
    assert value.quant is not None
    return value.quant.scale[0]
