"""What almost every sample adds to a channel moves through its ReLU into the next layer's bias.

With c_i = max(0, mean_i - 3 std_i) of what the first layer gives channel i before its ReLU, relu(y_i) = relu(y_i - c_i) + c_i
for almost all y, so that

    b1_i - c_i    and    b2 + W2 c

compute nearly the same from an activation whose range is smaller by c_i (Nagel et al. 2019, arXiv:1906.04721, section 4.1.3).
The paper takes mean and deviation from the batch norm that was folded; here they are those of the user's data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.compress.equalize.pairs import TRANSPOSED, Pair, channel_axis, layer_name
from edgekit.ir import Graph, Node, Value, ops
from edgekit.passes.constants import rewrite_constant, set_bias


def absorb_biases(
    graph: Graph, pairs: Sequence[Pair], batches: Sequence[list[torch.Tensor]]
) -> tuple[dict[str, float], dict[str, str]]:
    """Moves biases in place, pair by pair in the order of the graph.

    Returns:
        The largest c of each layer that gave some, by its name; and why the others did not.
    """
    moved: dict[str, float] = {}
    declined: dict[str, str] = {}
    for pair in pairs:
        name = layer_name(graph, pair.first)
        reason = _obstacle(pair)
        if reason:
            declined[name] = reason
            continue
        mean, deviation = _before_relu(graph, pair.first, batches)
        shift = (mean - 3.0 * deviation).clamp(min=0.0)
        if not bool((shift > 0).any()):
            continue
        bias = pair.first.input(2)
        rewrite_constant(bias, bias.tensor.detach().double() - shift)
        added = _through(pair.second, shift)
        old = pair.second.optional(2)
        set_bias(graph, pair.second, added if old is None else old.tensor.detach().double() + added)
        moved[name] = float(shift.max())
    return moved, declined


def _obstacle(pair: Pair) -> str:
    """Why a pair's bias can't be absorbed; empty where it can."""
    if getattr(pair.first.op, "activation", "none") != "relu" or pair.between or pair.repeat != 1:
        return "its bias is absorbed through a fused relu only"
    if pair.first.optional(2) is None:
        return "it has no bias"
    second = pair.second
    if isinstance(second.op, TRANSPOSED):
        return "the transposed convolution behind it does not see every input everywhere"
    if not isinstance(second.op, ops.Linear) and any(edge for pads in second.op.padding for edge in pads):  # type: ignore[attr-defined]
        return "the convolution behind it pads with zeros, which the absorbed bias would not be part of"
    bias = second.optional(2)
    if bias is not None and (not bias.is_constant or len(bias.users) > 1):
        return "the bias behind it is shared or computed"
    return ""


def _before_relu(graph: Graph, node: Node, batches: Sequence[list[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (C,) of a layer's output before its activation, over all samples and places."""
    twin = graph.copy()
    place = graph.nodes.index(node)
    twin.set_op(twin.nodes[place], node.op.with_(activation="none"))
    watched = twin.nodes[place].output
    twin.outputs, twin.signature = [watched], None
    twin.eliminate_dead()
    axis = channel_axis(node)
    count, total, squares = 0, torch.zeros(()), torch.zeros(())

    def observe(value: Value, tensor: torch.Tensor) -> None:
        nonlocal count, total, squares
        if value is watched:
            rows = tensor.detach().movedim(axis, -1).flatten(0, -2).double()
            count += len(rows)
            total = total + rows.sum(0)
            squares = squares + rows.square().sum(0)

    module = twin.module().eval()
    with torch.no_grad():
        for batch in batches:
            module.run(list(batch), observe)
    mean = total / count
    return mean, (squares / count - mean.square()).clamp(min=0.0).sqrt()


def _through(node: Node, shift: torch.Tensor) -> torch.Tensor:
    """What a layer without padding makes of a constant per input channel: (O,)."""
    weight = node.input(1).tensor.detach().double()
    groups = int(getattr(node.op, "groups", 1))
    rows = shift.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
    return (weight.flatten(2).sum(2) * rows if weight.dim() > 2 else weight * rows).sum(1)
