"""Where integers begin and end: the mode of every node, and an explicit ``identity`` at every border."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.policy import INFINITE, INSTEAD, INTEGER_IF_NAMED, ONLY_8_BIT, Mode, Policy, Seen, is_mask
from edgekit.compress.quantize.statistics import Statistics
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value, Where, ops
from edgekit.ir.types import where_text

#: Ops whose second and later inputs are weights or tables, not activations.
WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)


#: What is float where all that reads it is: the stream that the layers of a transformer add to, the products under a variance
#: or a cosine, of which 8 bits keep the largest and the sum of which needs the others.
_COMBINING = (ops.Add, ops.Sub, ops.Mul, ops.Concat)

#: What stands between these and their readers without computing anything: it is float where they are.
_MOVING = (ops.Reshape, ops.Permute, ops.Slice, ops.Split)

#: Of a node that the plan of precisions leaves in float.
ASKED = "float as asked for"

_FLOAT_READERS = "all that reads it is float, and integers in between would only round it"


@dataclass(frozen=True)
class FloatIsland:
    """A node that stays float in an integer file, why, and what could stand there instead (None: nothing is known)."""

    value: str
    op: str
    reason: str
    where: tuple[Where, ...]
    instead: str | None = None


@dataclass
class Modes:
    """Which values are held as integers, and which nodes stay float for want of an integer kernel.

    ``types`` holds, by id of an integer value and of an integer node, what they compute with where that is not int8.
    """

    integer: set[int] = field(default_factory=set)  # id(value)
    nodes: set[int] = field(default_factory=set)  # id(node) of integer nodes
    islands: list[FloatIsland] = field(default_factory=list)
    types: dict[int, str] = field(default_factory=dict)

    def type_of(self, value: Value) -> str:
        """What a value is held in: int8, int16 or float32."""
        return self.types.get(id(value), "int8") if id(value) in self.integer else "float32"

    def computes_in(self, node: Node) -> str:
        """What a node reads and gives: int8, int16 or float32."""
        return self.types.get(id(node), "int8") if id(node) in self.nodes else "float32"

    def make_integer(self, value: Value, dtype: str) -> None:
        """Holds a value in integers of this type."""
        self.integer.add(id(value))
        if dtype != "int8":
            self.types[id(value)] = dtype


def is_activation(value: Value | None) -> bool:
    """A float value that is computed or comes in."""
    return value is not None and not value.is_constant and value.type.is_float


def decide(
    graph: Graph,
    policy: Policy,
    integer_inputs: set[str],
    statistics: Mapping[int, Statistics] | None = None,
    layers: Layers | None = None,
    input_types: Mapping[str, str] | None = None,
) -> Modes:
    """Walks the graph once: integer where the runtime has a good kernel, float elsewhere, movers like what they move.

    ``statistics`` (by ``id(value)``) lets wide softmaxes be integers whose rows are not flat, and keeps masks that the model
    computes in float. ``layers`` says which layers compute in what; all in int8 by default. ``input_types``: the integers of
    inputs, by name, where they are not those of the layers.

    Raises:
        Unsupported: the runtime allows no float ops beside integer ones and the model has some; all of them are named.
    """
    modes, layers = Modes(), layers or Layers(graph)
    default = layers.plan.default.activations
    for value in graph.inputs:
        if is_activation(value) and value.name in integer_inputs:
            modes.make_integer(value, (input_types or {}).get(value.name, default))
    combined = _read_by_float_only(graph, policy, statistics or {})
    for node in graph.nodes:
        if not any(is_activation(v) for v in node.outputs):
            continue
        seen = _seen(node, statistics or {})
        mode = policy.mode(node, seen)
        if is_named_for_integers(node, policy, layers):
            mode = Mode.INTEGER
        if mode is Mode.INTEGER and isinstance(node.op, WEIGHTED) and not node.input(1).is_constant:
            modes.islands.append(FloatIsland(node.name, node.op.name, "its weight is computed, not constant", node.where))
            mode = Mode.FLOAT
        elif mode is Mode.FLOAT:
            reason, instead = policy.reason(node, seen) or "", INSTEAD.get(type(node.op))
            modes.islands.append(FloatIsland(node.name, node.op.name, reason, node.where, instead))
        elif mode is Mode.EITHER:
            read = [v for v in node.inputs if is_activation(v)]
            integer = any(id(v) in modes.integer for v in read) or (not read and isinstance(node.op, ops.Gather))
            mode = Mode.INTEGER if integer else Mode.FLOAT
            if integer and id(node) in combined and _converts_no_more(node, modes, policy, statistics or {}):
                modes.islands.append(FloatIsland(node.name, node.op.name, _FLOAT_READERS, node.where))
                mode = Mode.FLOAT
        if mode is Mode.INTEGER and _is_infinite(node, statistics or {}):
            modes.islands.append(FloatIsland(node.name, node.op.name, INFINITE, node.where))
            mode = Mode.FLOAT
        held = _type_of(node, modes, layers) if mode is Mode.INTEGER else "float32"
        if mode is Mode.INTEGER and held == "int16" and type(node.op) in policy.only_8_bit:
            modes.islands.append(FloatIsland(node.name, node.op.name, ONLY_8_BIT, node.where))
        elif mode is Mode.INTEGER and held == "float32":
            modes.islands.append(FloatIsland(node.name, node.op.name, ASKED, node.where))
        elif mode is Mode.INTEGER:
            modes.nodes.add(id(node))
            if held != "int8":
                modes.types[id(node)] = held
            for value in node.outputs:
                modes.make_integer(value, held)
            if isinstance(node.op, ops.Lstm):
                modes.make_integer(node.outputs[2], "int16")
    if modes.islands and not policy.islands:
        raise _refusal(modes.islands, policy)
    return modes


def is_named_for_integers(node: Node, policy: Policy, layers: Layers) -> bool:
    """Whether the plan names a layer for integers that stays float otherwise, and the runtime has a form for it."""
    able = type(node.op) in INTEGER_IF_NAMED.get(policy.runtime, frozenset()) and node.inputs[1:3] == (None, None)
    entry = layers.plan.entry(*layers.names(node)) if able else None
    return entry is not None and layers.plan.layers[entry].activations == "int8"


def _type_of(node: Node, modes: Modes, layers: Layers) -> str:
    """What an integer node computes in: what the plan says about it, else what it reads where that is one type."""
    wanted = layers.of(node).activations
    if layers.is_named(node) or isinstance(node.op, WEIGHTED):
        return wanted
    read = {modes.type_of(v) for v in node.inputs if v is not None and id(v) in modes.integer}
    return read.pop() if len(read) == 1 else wanted


def _seen(node: Node, statistics: Mapping[int, Statistics]) -> Seen:
    """What calibration saw around a node."""
    masked = any(is_mask(s.low, s.high) for v in node.inputs if (s := statistics.get(id(v))) is not None)
    made = statistics.get(id(node.output))
    if made is None:
        return Seen(masked=masked)
    # Probabilities that are the model's answer are ranked; a network that goes on with them computes with their values.
    return Seen(made.least_peak, made.high if node.output.users else 1.0, masked)


def _read_by_float_only(graph: Graph, policy: Policy, statistics: Mapping[int, Statistics]) -> set[int]:
    """Sums and products (by id) whose readers are float by the runtime's table, or such nodes themselves."""
    outputs = {id(v) for v in graph.outputs}
    may_be_float = set[int]()
    for node in reversed(graph.nodes):
        readers = [reader for v in node.outputs for reader in v.users]
        combines_or_moves = isinstance(node.op, (*_COMBINING, *_MOVING)) and not any(id(v) in outputs for v in node.outputs)
        follows = combines_or_moves and readers and all(id(reader) in may_be_float for reader in readers)
        if follows or policy.mode(node, _seen(node, statistics)) is Mode.FLOAT:
            may_be_float.add(id(node))
    return {id(node) for node in graph.nodes if isinstance(node.op, _COMBINING) and id(node) in may_be_float}


def _converts_no_more(node: Node, modes: Modes, policy: Policy, statistics: Mapping[int, Statistics]) -> bool:
    """Whether a float sum or product takes no more conversions than an integer one, whose result must be converted."""
    integers = {v for v in node.inputs if v is not None and id(v) in modes.integer}
    shared = {v for v in integers if any(policy.mode(r, _seen(r, statistics)) is Mode.FLOAT for r in v.users)}
    return len(integers - shared) <= 1


def _is_infinite(node: Node, statistics: Mapping[int, Statistics]) -> bool:
    """Calibration saw infinite numbers in what the node makes of numbers that may be finite: a mask, as a rule.

    An infinite input of the graph itself is an error in the data, which `require_finite` reports.
    """
    around = [v for v in (*node.inputs, *node.outputs) if v is not None and v.producer is not None]
    seen = [statistics[id(v)] for v in around if id(v) in statistics]
    return any(math.isinf(s.low) or math.isinf(s.high) for s in seen)


def _refusal(islands: list[FloatIsland], policy: Policy) -> Unsupported:
    """Every op that the runtime has no integers for: each reason once, with the places that it holds for."""
    reasons = dict.fromkeys(f"'{i.op}' ({i.reason})" for i in islands)
    places = dict.fromkeys(f"{where_text(i.where)}: '{i.op}'" for i in islands)
    advice = dict.fromkeys(f"'{i.op}': {i.instead}" for i in islands if i.instead)
    targets = "or build for a target that keeps them in float (tflite-int8) or all of it (tflite-fp32)"
    return Unsupported(
        f"{policy.title} can't run these ops in integers: {', '.join(reasons)}",
        where="\n".join(places),
        hint="\n".join((*advice, f"replace them in the model, {targets}")),
    )


def insert_borders(
    graph: Graph, modes: Modes, integer_outputs: set[str], output_types: Mapping[str, str] | None = None
) -> None:
    """Puts an ``identity`` wherever a node reads a value of another type than it computes in, and at the outputs.

    ``integer_outputs``: names of the outputs that are integers, of ``output_types`` where that says so, else int8; all other
    outputs become float.
    """
    converted: dict[tuple[int, str], Value] = {}

    def convert(value: Value, before: Node | None, wanted: str) -> Value:
        if (id(value), wanted) not in converted:
            where = value.producer.where if value.producer else ()
            index = graph.nodes.index(value.producer) + 1 if value.producer else 0
            at = graph.nodes[index] if index < len(graph.nodes) else before
            name = f"{value.name}.{_suffix(modes.type_of(value), wanted)}"
            made = graph.add(ops.Identity(), value, name=name, where=where, before=at, types=[value.type])
            if wanted != "float32":
                modes.make_integer(made, wanted)
            converted[id(value), wanted] = made
        return converted[id(value), wanted]

    for node in list(graph.nodes):
        wanted = modes.computes_in(node)
        for index, value in enumerate(node.inputs):
            if value is None or not is_activation(value) or modes.type_of(value) == wanted:
                continue
            graph.set_input(node, index, convert(value, node, wanted))
    for value in dict.fromkeys(graph.outputs):
        wanted = (output_types or {}).get(value.name, "int8") if value.name in integer_outputs else "float32"
        if is_activation(value) and modes.type_of(value) != wanted:
            made = convert(value, None, wanted)
            value.name, made.name = made.name, value.name
            graph.outputs = [made if v is value else v for v in graph.outputs]


def _suffix(held: str, wanted: str) -> str:
    """What a converted value is called after the one that it stands for."""
    if wanted == "float32":
        return "float"
    return "quantized" if held == "float32" else wanted
