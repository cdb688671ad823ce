"""Which constants of a graph are weights that may become zero one by one."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.names import check_names, first_that_covers
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Node, Value, ops

#: Op -> the places of its weights among its inputs.
_PLACES: dict[type, tuple[int, ...]] = {
    **dict.fromkeys((ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear), (1,)),
    ops.Matmul: (0, 1),
}
_RECURRENT = (ops.Lstm, ops.Gru, ops.Rnn)

#: Ops between a weight and its layer that leave every zero a zero.
_CARRIERS = (ops.Reshape, ops.Permute, ops.Split, ops.Slice, ops.Cast, ops.Identity, ops.Concat)


def find_weights(graph: Graph, layers: Sequence[str], keep: Sequence[str]) -> tuple[dict[str, Value], dict[str, str]]:
    """The weights to make sparse, by name, and those left alone, with the reason.

    Args:
        graph: float.
        layers: names as ``edgekit.compress.names`` takes them; all if empty.
        keep: likewise, of those that stay.

    Raises:
        Unsupported: the graph is quantised.
        UsageError: a name that is no weight's, or no weights at all.
    """
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported(
            "making the weights of a quantised graph sparse",
            where=graph.name,
            hint="make it sparse first, quantise afterwards",
        )
    found: dict[str, Value] = {}
    other: dict[str, str] = {}
    names: dict[int, list[str]] = {}
    for name, value in graph.state.items():
        names.setdefault(id(value), []).append(name)
        if len(names[id(value)]) > 1 or not value.is_trainable or value.tensor.dim() < 2:
            continue  # a second name of tied weights; a buffer; a bias or the scale of a norm
        if _is_weight(value):
            found[name] = value
        else:
            other[name] = "it is not only a weight of convolutions, linear or recurrent layers"
    known = [name for value in found.values() for name in names[id(value)]]
    for option, wishes in (("layers", layers), ("keep", keep)):
        check_names(option, wishes, known, of="a weight of a layer", where=graph.name)
    for name, value in list(found.items()):
        if layers and first_that_covers(layers, names[id(value)]) is None:
            other[name] = "it is not among 'layers'"
        elif stays := first_that_covers(keep, names[id(value)]):
            other[name] = f"'keep' names '{stays}'"
        else:
            continue
        del found[name]
    if not found:
        raise UsageError(
            "there is no weight to set to zero",
            where=graph.name,
            hint="convolutions, linear and recurrent layers have some; look at 'layers' and 'keep'",
        )
    return found, other


def _is_weight(value: Value) -> bool:
    """Every reader multiplies by it, at first hand or through changes of shape."""
    return bool(value.users) and all(_multiplies(node, value) for node in value.users)


def _multiplies(node: Node, value: Value) -> bool:
    if isinstance(node.op, _CARRIERS):
        return all(bool(output.users) and _is_weight(output) for output in node.outputs)
    read = [index for index, one in enumerate(node.inputs) if one is value]
    if isinstance(node.op, _RECURRENT):  # the sequence, initial states, then weights and biases
        return min(read) > node.op.STATES
    return all(index in _PLACES.get(type(node.op), ()) for index in read)
