"""Dynamic range: int8 weights, float inputs and outputs; the runtime quantises activations as they come."""

from __future__ import annotations

from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.params import weight_params
from edgekit.ir import Graph, ops

#: Weights with fewer elements stay float: the scales would eat the saving.
SMALLEST = 1024


def quantize_weights_only(graph: Graph, smallest: int = SMALLEST) -> Graph:
    """A copy in which the weights of convolutions, linear and recurrent layers carry int8 parameters and no activation does.

    A weight that a node without an integer weight kernel reads too stays float. ``smallest``: elements below which a weight stays float.
    """
    out = graph.copy()
    for node in out.nodes:
        if not isinstance(node.op, WEIGHTED) or isinstance(node.op, ops.ConvTranspose1d | ops.ConvTranspose2d):
            continue
        weight = node.input(1)
        private = all(isinstance(user.op, WEIGHTED) and user.inputs[1] is weight for user in weight.users)
        if weight.is_constant and private and weight.tensor.numel() >= smallest:
            weight.quant = weight_params(weight.tensor, 0)
    return out
