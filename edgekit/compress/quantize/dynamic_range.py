"""Dynamic range: int8 weights beside float activations; the runtime quantises activations as they come, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.params import weight_params
from edgekit.compress.quantize.policy import LITERT, Policy
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.quant import RANGES
from edgekit.precision import Precision, PrecisionPlan

#: What dynamic range is, where no plan says otherwise.
DYNAMIC = Precision("int8", "float32")

#: Weights with fewer elements stay float: the scales would eat the saving.
SMALLEST = 1024

_LAYERS = (ops.Conv1d, ops.Conv2d, ops.Linear)

#: Layers whose weights become integers although their activations stay float.
RECURRENT = (ops.Lstm, ops.Gru, ops.Rnn)


def quantize_weights_only(
    graph: Graph,
    smallest: int = SMALLEST,
    plan: PrecisionPlan | None = None,
    policy: Policy = LITERT,
    least_scales: Mapping[str, torch.Tensor] | None = None,
) -> Graph:
    """A copy in which the weights of convolutions, linear and recurrent layers carry integer parameters and no activation does.

    A weight that a node without an integer weight kernel reads too stays float. ``smallest``: elements below which a weight
    stays float unless the plan names it. ``plan``: int8 throughout by default. ``policy``: of the runtime. ``least_scales``: by
    the name of a weight, the smallest scale of each of its rows.

    Raises:
        UsageError: the plan names what the graph does not have.
        Unsupported: the plan asks for what the runtime does not compute, by name of the layer.
    """
    out = graph.copy()
    quantize_weights_of(out.nodes, Layers(out, plan or PrecisionPlan(DYNAMIC), policy), smallest, least_scales)
    return out


def quantize_weights_of(
    nodes: Iterable[Node],
    layers: Layers,
    smallest: int = SMALLEST,
    least_scales: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Gives the weights of these nodes the integers that ``layers`` says, in place, where no other node needs them otherwise.

    All matrices of a recurrent layer become integers or none: its kernel takes one type.
    """
    for node in nodes:
        weights, dtype = matrices(node), layers.of(node).weights
        if dtype not in RANGES:
            continue
        large = layers.is_named(node) or sum(v.type.numel() for v in weights) >= smallest
        if large and all(_is_free(v) for v in weights):
            for weight in weights:
                weight.quant = recurrent_params(node, weight, dtype, (least_scales or {}).get(weight.name))


def _is_free(weight: Value) -> bool:
    """A constant without parameters that only such nodes read, as their weight."""
    readers_agree = all(any(v is weight for v in matrices(user)) for user in weight.users)
    return weight.is_constant and weight.quant is None and readers_agree


def matrices(node: Node) -> list[Value]:
    """The matrices and kernels of a node that may be integers beside float activations."""
    if isinstance(node.op, _LAYERS):
        return [node.input(1)]
    if isinstance(node.op, RECURRENT):
        return [v for v in node.inputs[1 + node.op.STATES :] if v is not None and v.type.rank == 2]
    return []


def recurrent_params(node: Node, weight: Value, dtype: str = "int8", least: torch.Tensor | None = None) -> QuantParams:
    """One scale per output channel; LSTM kernels hold a matrix per gate, with one scale each.

    ``least``: the smallest scale of each row.
    """
    if not isinstance(node.op, ops.Lstm):
        return weight_params(weight.tensor, 0, 0.0 if least is None else least.double(), dtype=dtype)
    hidden = node.op.hidden
    gates = weight.tensor.detach().reshape(4, hidden, -1)
    floor = 0.0 if least is None else least.double().reshape(4, hidden).amax(1)
    scales = [scale for scale in weight_params(gates, 0, floor).scale for _ in range(hidden)]
    return QuantParams("int8", tuple(scales), (0,) * len(scales), 0, narrow=True)
