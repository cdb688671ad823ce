"""Which constants of a graph are weights that may become zero one by one."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Node, Value, ops
from edgekit.tables import did_you_mean

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
        layers: names, or starts of names up to a dot; all if empty.
        keep: likewise, of those that stay.

    Raises:
        Unsupported: the graph is quantised.
        UsageError: a name that is no weight's, or no weights at all.
    """
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported("making the weights of a quantised graph sparse", hint="make it sparse first, quantise afterwards")
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
    for wish in (*layers, *keep):
        if not any(covers(wish, name) for name in known):
            raise UsageError(f"'{wish}' is no weight of the graph", where=graph.name, hint=did_you_mean(wish, known))
    for name, value in list(found.items()):
        if layers and not any(covers(wish, n) for wish in layers for n in names[id(value)]):
            other[name] = "it is not among 'layers'"
        elif stays := next((wish for wish in keep for n in names[id(value)] if covers(wish, n)), None):
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


def covers(wish: str, name: str) -> bool:
    """A name, or the start of it up to a dot."""
    return name == wish or name.startswith(f"{wish}.")
