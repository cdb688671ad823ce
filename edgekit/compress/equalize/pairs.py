"""Consecutive layers between which scale can move."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.compress.rewriting.layer import names_of
from edgekit.ir import Graph, Node, Value, ops

CONVOLUTIONS = (ops.Conv1d, ops.Conv2d)
TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)
LAYERS = (*CONVOLUTIONS, *TRANSPOSED, ops.Linear)

#: f(s x) = s f(x) for every s > 0, channel by channel.
_HOMOGENEOUS = (
    ops.Relu,
    ops.LeakyRelu,
    ops.Dropout,
    ops.Identity,
    ops.MaxPool1d,
    ops.MaxPool2d,
    ops.AvgPool1d,
    ops.AvgPool2d,
    ops.AdaptiveAvgPool2d,
    ops.AdaptiveMaxPool2d,
    ops.Resize,
)

_RELU6 = "'relu6' is not positively homogeneous: replace_relu6 = true makes it a relu, which changes the function"


@dataclass(frozen=True)
class Pair:
    """Two layers, what stands between them, and how many inputs of the second belong to one channel of the first.

    ``repeat`` is above 1 where feature maps are flattened.
    """

    first: Node
    second: Node
    between: tuple[Node, ...] = ()
    repeat: int = 1

    @property
    def channels(self) -> int:
        """Output channels of the first layer."""
        return channels_of(self.first)


def channels_of(node: Node) -> int:
    """Output channels of a layer."""
    return node.output.tensor_shape[channel_axis(node)]


def channel_axis(node: Node) -> int:
    """The axis of a layer's output that its channels are."""
    return node.output.type.rank - 1 if isinstance(node.op, ops.Linear) else 1


def layer_name(graph: Graph, node: Node) -> str:
    """What the user knows a layer by: the module that has its weight."""
    name = names_of(graph, node.input(1))[0]
    return name.removesuffix(".weight") or name


def find_pairs(graph: Graph, *, relu6: bool = False) -> tuple[list[Pair], dict[str, str]]:
    """All pairs in the order of the graph, and why scale can't leave the other layers, by their names.

    Args:
        graph: float, batch norms folded.
        relu6: look through ReLU6 as if it were ReLU.
    """
    pairs, declined = [], {}
    for node in graph.nodes:
        if not isinstance(node.op, LAYERS) or not node.input(1).is_constant:
            continue
        found = _follow(graph, node, relu6)
        if isinstance(found, Pair):
            pairs.append(found)
        else:
            declined[layer_name(graph, node)] = found
    return pairs, declined


def _follow(graph: Graph, first: Node, relu6: bool) -> Pair | str:
    """The pair that a layer begins, or why there is none."""
    if reason := _not_private(graph, first):
        return reason
    if reason := _activation(str(getattr(first.op, "activation", "none")), relu6):
        return reason
    between: list[Node] = []
    value, axis, repeat = first.output, channel_axis(first), 1
    while True:
        if graph.is_output(value):
            return "its output is one of the model's"
        if graph.readers(value) > 1:
            return f"its output is read in {graph.readers(value)} places, as beside a shortcut"
        node = value.users[0]
        if isinstance(node.op, LAYERS) and node.input(0) is value:
            if axis != (value.type.rank - 1 if isinstance(node.op, ops.Linear) else 1):
                return f"'{layer_name(graph, node)}' reads its channels along another axis"
            return _not_private(graph, node, behind=True) or Pair(first, node, tuple(between), repeat)
        moved = _through(node, value, axis, repeat, relu6)
        if isinstance(moved, str):
            return moved
        axis, repeat = moved
        between.append(node)
        value = node.output


def _through(node: Node, value: Value, axis: int, repeat: int, relu6: bool) -> tuple[int, int] | str:
    """The channels' axis and repetition behind an op that scale can pass through, or why it can't."""
    op = node.op
    if reason := _activation(str(getattr(op, "activation", "none")), relu6):
        return reason
    if isinstance(op, _HOMOGENEOUS):
        return axis, repeat
    if isinstance(op, ops.Relu6) or (isinstance(op, ops.Clamp) and (op.low, op.high) == (0.0, 6.0)):
        return (axis, repeat) if relu6 else _RELU6
    if isinstance(op, ops.Prelu) and node.input(0) is value and node.input(1).is_constant:
        return axis, repeat
    if isinstance(op, ops.Pad):
        padded = op.pads[axis] != (0, 0)
        return (
            "channels are added by 'pad'" if padded else (axis, repeat) if _pads_homogeneously(op) else "'pad' adds a constant"
        )
    if isinstance(op, ops.Mean | ops.Amax | ops.Amin) and op.axes and axis not in op.axes:
        return axis if op.keepdim else axis - sum(a < axis for a in op.axes), repeat
    if isinstance(op, ops.Reshape):
        return _flattened(node, value, axis, repeat)
    if isinstance(op, ops.Add | ops.Sub | ops.Concat):
        return f"'{op.name}' joins its output with others"
    return f"'{op.name}' is not positively homogeneous, or mixes channels"


def _pads_homogeneously(op: ops.Pad) -> bool:
    return op.mode != "constant" or op.value == 0.0


def _flattened(node: Node, value: Value, axis: int, repeat: int) -> tuple[int, int] | str:
    """Channels behind a reshape to (N, features)."""
    before, after = value.tensor_shape, node.output.tensor_shape
    same_batch = value.type.rank > 1 and node.output.type.shape[0] == value.type.shape[0]
    if axis == 1 and len(after) == 2 and same_batch:
        size = 1
        for dim in before[2:]:
            size *= dim
        return 1, repeat * size
    return "'reshape' mixes its channels"


def _activation(name: str, relu6: bool) -> str:
    """Why scale can't pass through a fused activation; empty where it can."""
    if name in ("none", "relu") or (name == "relu6" and relu6):
        return ""
    return _RELU6 if name == "relu6" else f"'{name}' is not positively homogeneous"


def _not_private(graph: Graph, node: Node, behind: bool = False) -> str:
    """Why a layer's weight or bias can't be scaled for this layer alone; empty where it can."""
    who = f"the layer behind it, '{layer_name(graph, node)}', has a" if behind else "it has a"
    for value, what in ((node.input(1), "weight"), (node.optional(2), "bias")):
        if value is None or (behind and what == "bias"):
            continue
        if not value.is_constant:
            return f"{who} computed {what}"
        if graph.readers(value) > 1:
            return f"{who} {what} that other layers share"
    return ""
