"""Where exits are: the network's answer, and values on the way to it by name, by module or by share of cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.types import Batch, where_text
from edgekit.tables import did_you_mean


@dataclass(frozen=True)
class Place:
    """A value that an exit reads, the multiply-accumulates of one sample up to it, and which of the wishes it is."""

    value: Value
    macs: int
    wish: int = 0


def answer(graph: Graph, output: str) -> Value:
    """The logits that the network ends in: an output, or what its softmax or sigmoid reads.

    Raises:
        Unsupported: several outputs and none is chosen, or an output that is no classes' scores.
        UsageError: there is no such output.
    """
    names = [value.name for value in graph.outputs]
    if not output and len(names) > 1:
        raise Unsupported(
            f"the network has {len(names)} outputs: {', '.join(names)}",
            where="early_exit",
            hint=f'say which one the exits are for: output = "{names[0]}"',
        )
    if output and output not in names:
        raise UsageError(f"the network has no output '{output}'", where="output", hint=did_you_mean(output, names))
    value = next(v for v in graph.outputs if not output or v.name == output)
    node = value.producer
    if node is not None and _keeps_the_order_of_classes(node):
        value = node.input(0)
    if not _is_per_sample(value) or value.type.rank != 2 or value.tensor_shape[1] < 2 or value.is_constant:
        raise Unsupported(
            f"early exits need scores of two classes or more for each sample, and '{value.name}' is {value.type}",
            where=where_text(node.where) if node is not None and node.where else f"output '{value.name}'",
            hint="the model loaded with a batch that may vary"
            if value.shape and isinstance(value.shape[0], int)
            else "a classifier whose output is (samples, classes)",
        )
    return value


def _keeps_the_order_of_classes(node: Node) -> bool:
    """A final activation that heads need not learn: it stays behind the choice between exits."""
    if isinstance(node.op, ops.Softmax | ops.LogSoftmax):
        return node.op.axis % node.output.type.rank == 1
    return isinstance(node.op, ops.Sigmoid)


def _is_per_sample(value: Value) -> bool:
    """One row a sample, along the first axis."""
    first, *rest = value.shape or (1,)
    return isinstance(first, Batch) and first.multiple == 1 and not any(isinstance(dim, Batch) for dim in rest)


def find(graph: Graph, at: Iterable[str | float], end: Value) -> list[Place]:
    """The places in the order of their cost.

    Raises:
        UsageError: a name that is nobody's or that of the answer, two exits in one place, or no place for a share.
        Unsupported: a value that depends on the batch in another way than by its rows, is no float, or comes after the answer.
    """
    inside = {id(node): node for node in _before(end)}
    found: list[Place] = []
    for number, wish in enumerate(at):
        value = _named(graph, wish) if isinstance(wish, str) else _at_share(graph, float(wish), end)
        if value is end:
            raise UsageError(
                f"at '{wish}' the network itself answers: an exit there would leave nothing out",
                where="at",
                hint="a value before its last layer, or a share of its cost: at = [0.4]",
            )
        _check(value, wish, inside)
        found.append(Place(value, cost(value), number))
    found.sort(key=lambda place: place.macs)
    repeated = [a.value.name for a, b in pairwise(found) if a.value is b.value]
    if repeated:
        raise UsageError(f"two exits are at '{repeated[0]}'", where="at", hint="places whose costs differ more")
    return found


def cost(value: Value) -> int:
    """Multiply-accumulates of one sample up to a value."""
    return sum(node.op.macs(node) for node in _before(value))


def cuts(graph: Graph, end: Value) -> list[Place]:
    """Values that all that comes later passes through, the last one of each cost: block borders, behind activations."""
    inside = {id(node) for node in _before(end)}
    nodes = [node for node in graph.nodes if id(node) in inside]
    last_use = {id(v): place for place, node in enumerate(nodes) for v in node.inputs if v is not None and not v.is_constant}
    found: dict[int, Place] = {}
    alive: set[int] = {id(v) for v in graph.inputs if id(v) in last_use}
    for place, node in enumerate(nodes):
        alive -= {key for key in alive if last_use.get(key, -1) <= place}
        alive |= {id(v) for v in node.outputs if last_use.get(id(v), -1) > place}
        value = node.output
        if alive == {id(value)} and _is_per_sample(value) and value.type.is_float and value is not end:
            spent = cost(value)
            held = found.get(spent)
            if spent and (held is None or value.type.rank >= held.value.type.rank):
                found[spent] = Place(value, spent)
    return [found[spent] for spent in sorted(found)]


def nodes_of(graph: Graph, module: str) -> list[Node]:
    """The nodes that a module of the source computes, in order."""
    return [node for node in graph.nodes if any(_is_in(module, place.module) for place in node.where)]


def _named(graph: Graph, name: str) -> Value:
    values = {value.name: value for node in graph.nodes for value in node.outputs}
    if name in values:
        return values[name]
    of_module = [node.output for node in nodes_of(graph, name)]
    if not of_module:
        known = {*values, *(place.module for node in graph.nodes for place in node.where if place.module)}
        raise UsageError(f"no value or module is called '{name}'", where="at", hint=did_you_mean(name, known))
    return of_module[-1]


def _is_in(module: str, path: str) -> bool:
    return path == module or path.startswith(f"{module}.")


def _at_share(graph: Graph, share: float, end: Value) -> Value:
    places = cuts(graph, end)
    total = cost(end)
    if not places:
        raise UsageError(
            "no value of the network stands alone between what is before and what is after it",
            where="at",
            hint='name the values: at = ["NAME"]',
        )
    return min(places, key=lambda place: abs(place.macs / max(total, 1) - share)).value


def _check(value: Value, wish: str | float, inside: dict[int, Node]) -> None:
    where = where_text(value.producer.where) if value.producer is not None and value.producer.where else f"'{value.name}'"
    if value.producer is None or id(value.producer) not in inside:
        raise Unsupported(f"the network's answer does not depend on '{wish}'", where=where, hint="a value on the way to it")
    if not _is_per_sample(value) or not 2 <= value.type.rank <= 4:
        raise Unsupported(
            f"an exit at '{value.name}' ({value.type}): samples are not its rows, so they can't leave one by one",
            where=where,
            hint="a value (N, features), (N, channels, steps), (N, steps, features) or (N, channels, height, width)",
        )
    if not value.type.is_float:
        raise Unsupported(f"an exit at '{value.name}', which holds {value.type}", where=where, hint="a value of floats")


def _before(value: Value) -> list[Node]:
    """All nodes that a value is computed by."""
    found: dict[int, Node] = {}
    waiting = [value.producer]
    while waiting:
        node = waiting.pop()
        if node is not None and id(node) not in found:
            found[id(node)] = node
            waiting += [v.producer for v in node.inputs if v is not None]
    return list(found.values())
