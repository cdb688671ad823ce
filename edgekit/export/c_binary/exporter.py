"""A quantised graph as one C99 source with its header."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from edgekit.errors import Unsupported
from edgekit.export.c_binary.elementwise import TABLES, TWO_SIDED, prelu_call, table_call, two_sided_call
from edgekit.export.c_binary.kernels import functions
from edgekit.export.c_binary.layers import Call, layer_call, window
from edgekit.export.c_binary.memory import Lifetime, place
from edgekit.export.c_binary.text import HEADER, SOURCE
from edgekit.export.c_binary.values import Picture, picture_of
from edgekit.export.refusals import Refusals
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.integer.fixed_point import quantize_multiplier

_LAYERS = (ops.Conv1d, ops.Conv2d, ops.Linear)


@dataclass(frozen=True)
class CFiles:
    """The two files of a network, and its static memory in bytes beside its constants."""

    header: str
    source: str
    memory_bytes: int


@dataclass
class _Network:
    """A graph on its way into C."""

    calls: list[Call] = field(default_factory=list)
    reads: list[tuple[int, ...]] = field(default_factory=list)  # by call: the calls whose results it reads, -1 for the input
    held: dict[int, tuple[int, Picture]] = field(default_factory=dict)  # id of a value -> where it comes from, and its form


def export_c(graph: Graph, name: str) -> CFiles:
    """The C code of a graph with binary layers.

    Args:
        graph: quantised, one input and one output of 8 bits; its signs are fused (``lower_binary``).
        name: of the files, and the beginning of the public names.

    Raises:
        Unsupported: what the C code has no kernel for, all of it in one error.
    """
    network, refusals = _Network(), Refusals()
    for value, what in ((graph.inputs, "input"), (graph.outputs, "output")):
        one = f"c-binary takes networks with one {what}"
        if len(value) != 1:
            raise Unsupported(f"{one}, not {len(value)}", where=graph.name, hint="tflite-binary takes any number")
        if value[0].quant is None or value[0].quant.dtype != "int8":
            raise Unsupported(f"{one} of 8-bit integers", where=graph.name, hint='io = "int8"')
    network.held[id(graph.inputs[0])] = (-1, picture_of(graph.inputs[0]))
    for node in graph.nodes:
        if refusals and any(id(v) not in network.held for v in node.inputs if v is not None and not v.is_constant):
            continue  # what it reads was refused already
        with refusals.at(_behind_border(node)):
            _add(network, node)
    refusals.raise_if_any("c-binary has no C code for {count} places of this model")
    source, result = network.held[id(graph.outputs[0])]
    if result.signs or source < 0 or (result.flat and result.pixels > 1 and result.channels > 1):
        raise Unsupported(
            "a network in C ends in a layer that gives integers", where=graph.name, hint="end it in a linear layer"
        )
    return _written(network, graph, source, name)


def _behind_border(node: Node) -> Node:
    """The op that a conversion to float is for; any other op itself."""
    while isinstance(node.op, ops.Identity) and node.output.users:
        node = node.output.users[0]
    return node


def _add(network: _Network, node: Node) -> None:
    """Appends the call for a node, or notes that it is where its input is."""
    computed = [value for value in node.inputs if value is not None and not value.is_constant]
    held = [network.held.get(id(value)) for value in computed]
    if not held or None in held or any(value.quant is None for value in (*computed, node.output)):
        raise Unsupported(f"c-binary computes no '{_behind_border(node).op.name}' in float", hint=_HINT)
    pictures = [entry[1] for entry in held if entry is not None]
    sources = tuple(entry[0] for entry in held if entry is not None)
    x, name = pictures[0], f"layer{len(network.calls)}"
    if isinstance(node.op, ops.Reshape) or (isinstance(node.op, ops.Identity) and node.output.quant == computed[0].quant):
        network.held[id(node.output)] = (sources[0], _flattened(node, x))
        return
    call = _call(node, pictures, name)
    network.calls.append(call)
    network.reads.append(sources)
    network.held[id(node.output)] = (len(network.calls) - 1, call.result)


def _call(node: Node, pictures: list[Picture], name: str) -> Call:
    """The call for a node that computes something."""
    op, x = node.op, pictures[0]
    if isinstance(op, _LAYERS):
        return layer_call(node, x, name)
    if isinstance(op, ops.MaxPool1d | ops.MaxPool2d):
        return _pool(node, x, name)
    if isinstance(op, ops.Mean):
        return _mean(node, x)
    if isinstance(op, ops.BinarySign) and not x.signs:
        return _signs(node, x)
    if isinstance(op, TABLES):
        return table_call(node, x, name)
    if isinstance(op, ops.Prelu):
        return prelu_call(node, x, name)
    if isinstance(op, TWO_SIDED):
        given = iter(pictures)
        first, second = (None if node.input(i).is_constant else next(given) for i in (0, 1))
        return two_sided_call(node, (first, second), name)
    raise Unsupported(f"c-binary has no C code for '{op.name}'", hint=_HINT)


_HINT = (
    "convolutions, linear layers, max pools, a global mean, activations, sums, and factors by channel are what it has; "
    "tflite-binary has the other ops"
)


def _flattened(node: Node, x: Picture) -> Picture:
    shape = node.output.tensor_shape
    if shape == node.input(0).tensor_shape:
        return x
    if len(shape) != 2 or shape[1] != x.pixels * x.channels:
        raise Unsupported(f"c-binary reshapes to vectors alone, not to {list(shape)}", hint="flatten(1) before linear layers")
    return replace(x, flat=x.flat or x.pixels > 1)


def _pool(node: Node, x: Picture, name: str) -> Call:
    op = node.op
    assert isinstance(op, ops.MaxPool1d | ops.MaxPool2d)
    if x.flat:
        raise Unsupported("c-binary does not pool what was flattened")
    y = picture_of(node.output, x.signs)
    sizes = ((1, *sizes)[-2:] for sizes in (op.kernel, op.stride, op.padding, op.dilation))
    kernel, stride, padding, dilation = sizes
    if len(op.kernel) == 1:
        padding = (0, op.padding[0])
    constants = window(x, kernel, stride, padding, dilation, y).replace("WINDOW", f"{name}_window")
    kind = "signs" if x.signs else "bytes"
    return Call(f"pool_{kind}", constants, (f"&{name}_window", "IN"), y, f"{op.name} of {kind}")


def _mean(node: Node, x: Picture) -> Call:
    """As the simulation: 1 / pixels is part of the significand (``edgekit.ir.integer.reduction.mean``)."""
    op, shape = node.op, node.input(0).tensor_shape
    assert isinstance(op, ops.Mean)
    axes = {axis % len(shape) for axis in op.axes}
    if x.signs or x.flat or axes != set(range(2, len(shape))):
        raise Unsupported("c-binary takes the mean of 8-bit integers over a whole picture alone", hint=_HINT)
    before, after = _quant(node.input(0)), _quant(node.output)
    significand, shift = quantize_multiplier(before.scale[0] / after.scale[0])
    bits = min(x.pixels.bit_length() - 1, 32, 31 + shift)
    numbers = (x.pixels, x.channels, before.zero_point[0], (significand << bits) // x.pixels, shift - bits, after.zero_point[0])
    return Call("mean_bytes", "", ("IN", *map(str, numbers)), Picture(1, 1, x.channels), "mean over the picture")


def _signs(node: Node, x: Picture) -> Call:
    numbers = (x.pixels, x.channels, _quant(node.input(0)).zero_point[0])
    return Call("signs_of_values", "", ("IN", *map(str, numbers)), replace(x, signs=True), "signs of integers")


def _quant(value: Value) -> QuantParams:
    assert value.quant is not None
    return value.quant


def _written(network: _Network, graph: Graph, last: int, name: str) -> CFiles:
    """The text of both files; ``last``: the call that gives the output."""
    identifier = identifier_of(name)
    calls, reads = network.calls[: last + 1], network.reads[: last + 1]
    readers = [max((i for i, read in enumerate(reads) if index in read), default=index) for index in range(len(calls))]
    inner = [Lifetime(call.result.words, index, readers[index]) for index, call in enumerate(calls[:-1])]
    offsets, words = place(inner)
    lines = []
    for index, call in enumerate(calls):
        places = [
            "input" if source < 0 else f"{_pointer(calls[source].result)}(memory + {offsets[source]})"
            for source in reads[index]
        ]
        named = dict(zip(("IN", "IN2"), places, strict=False))
        write = "output" if index == last else f"{_pointer(call.result)}(memory + {offsets[index]})"
        arguments = ", ".join(named.get(argument, argument) for argument in call.arguments)
        lines.append(f"  {call.kernel}({arguments}, {write}); /* {call.note} */")
    x, y = _quant(graph.inputs[0]), _quant(graph.outputs[0])
    first, final = picture_of(graph.inputs[0]), calls[-1].result
    facts = {
        "name": identifier,
        "guard": f"EDGEKIT_{identifier.upper()}_H_",
        "upper": identifier.upper(),
        "input_size": first.pixels * first.channels,
        "input_shape": f"{first.height} x {first.width} x {first.channels}",
        "output_size": final.pixels * final.channels,
        "input_scale": f"{x.scale[0]:.9g}",
        "input_zero": x.zero_point[0],
        "output_scale": f"{y.scale[0]:.9g}",
        "output_zero": y.zero_point[0],
        "memory": 4 * words,
        "words": max(words, 1),
    }
    source = SOURCE.format(
        **facts,
        functions=functions({call.kernel for call in calls}),
        constants="\n".join(call.constants for call in calls if call.constants),
        calls="\n".join(lines),
    )
    return CFiles(HEADER.format(**facts), source, 4 * words)


def _pointer(picture: Picture) -> str:
    return "" if picture.signs else "(int8_t *)"


def identifier_of(name: str) -> str:
    """A name as C takes it."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"net_{word}" if word[:1].isdigit() or not word else word
