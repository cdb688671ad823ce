"""The walk that turns a graph on windows into one on frames."""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm

from edgekit.errors import Unsupported, UsageError
from edgekit.export.refusals import Refusals
from edgekit.formats.stream_record import StreamOutput, StreamRecord
from edgekit.ir import Graph, Node, TensorType, Value, ops
from edgekit.stream_settings import Streaming
from edgekit.streaming.frames import Frames, NeedsHop
from edgekit.streaming.rules import RULES
from edgekit.streaming.rules.table import CAUSAL, whole
from edgekit.streaming.timed import Timed


def to_frames(graph: Graph, streaming: Streaming) -> Graph:
    """The graph that is called once every ``hop`` frames, with what it keeps of the past as further inputs and outputs.

    It computes what the given graph computes, step by step: floats in the order of the offline sums, and a quantised graph on
    the same integers, since a state is quantised as the value that it holds. ``stream`` of the result says how to call it;
    ``docs/streaming.md`` explains it.

    Args:
        graph: float or quantised, best after the exact passes; it is not changed.
        streaming: where time is, and how many frames a call takes.

    Raises:
        Unsupported: layers that read the future, or the window as a whole in a way that no stream has; all of them are named.
        UsageError: a time axis that the inputs do not have, or a hop that the model's strides do not allow.
    """
    axes = time_axes(graph, streaming.time)
    hop = streaming.hop or 1
    while True:
        try:
            return _convert(graph, axes, hop, streaming)
        except NeedsHop as needed:
            if streaming.hop is not None:
                raise UsageError(
                    f"a call of {streaming.hop} frames gives no whole number of steps: the model's strides need multiples of "
                    f"{needed.multiple}",
                    where="streaming: hop",
                    hint=f"hop = {lcm(streaming.hop, needed.multiple)}, or none: then the smallest is taken",
                ) from None
            hop = lcm(hop, needed.multiple)


def time_axes(graph: Graph, time: int | Mapping[str, int]) -> dict[str, int]:
    """The time axis of each input that comes in frames, counted from the front.

    Raises:
        UsageError: no such input, or no such axis of fixed size.
    """
    ranks = {value.name: value for value in graph.inputs}
    wanted = dict.fromkeys(ranks, time) if isinstance(time, int) else dict(time)
    found = {}
    for name, axis in wanted.items():
        if name not in ranks:
            raise UsageError(
                f"a time axis is given for '{name}', which is no input", where="streaming: time", hint=", ".join(ranks)
            )
        value = ranks[name]
        if not -value.type.rank <= axis < value.type.rank or not isinstance(value.shape[axis], int):
            raise UsageError(
                f"axis {axis} of '{name}' {value.type} is not time",
                where="streaming: time",
                hint="the axis along which the frames of a window stand, as the model takes them",
            )
        found[name] = axis % value.type.rank
    if len({value.shape[found[name]] for name, value in ranks.items() if name in found}) != 1:
        raise UsageError(
            "the inputs have windows of different lengths", where="streaming: time", hint="one rate for all inputs"
        )
    return found


def _convert(graph: Graph, axes: dict[str, int], hop: int, streaming: Streaming) -> Graph:
    frames, held, refusals = Frames(graph, hop), dict[int, Timed](), Refusals()
    for value in graph.inputs:
        held[id(value)] = _input(frames, value, axes.get(value.name))
    for node in graph.nodes:
        if any(value is not None and not value.is_constant and id(value) not in held for value in node.inputs):
            continue  # what hangs on a refused node is no problem of its own
        frames.node = node
        given = [_read(frames, held, value) for value in node.inputs]
        with refusals.at(node):
            results = _node(frames, node, given)
            for value, result in zip(node.outputs, results, strict=True):
                _check(frames, value, result)
                held[id(value)] = result
            continue
        _stand_in(frames, node, given, held)
    refusals.raise_if_any("{count} things in this model have no stream")
    frames.node = None
    outputs = []
    for value in graph.outputs:
        with refusals.at(f"output '{value.name}'"):
            outputs.append(_output(frames, held[id(value)], value, streaming.look_ahead))
    refusals.raise_if_any("{count} outputs of this model have no stream")
    made = frames.graph
    states = frames.finish_states()
    window = int(next(value.shape[axes[value.name]] for value in graph.inputs if value.name in axes))
    made.stream = StreamRecord(hop, window, tuple(axes.items()), tuple(outputs), states, streaming.state)
    made.history, made.notes = graph.history, list(graph.notes)
    made.eliminate_dead()
    made.verify()
    return made


def _stand_in(frames: Frames, node: Node, given: list[Timed | None], held: dict[int, Timed]) -> None:
    """Something to go on with behind a refused node that keeps the time axis: what is refused there is told too."""
    x = next((each for each in given if each is not None and each.axis is not None), None)
    for value in node.outputs if x is not None else ():
        assert x is not None and x.axis is not None
        if value.type.rank != x.value.type.rank or value.shape[x.axis] != x.length:
            continue
        shape = list(value.shape)
        shape[x.axis] = frames.steps(x)
        made = frames.graph.add_input(frames.graph.unique_name("refused"), TensorType(value.type.dtype, tuple(shape)))
        made.quant = value.quant
        held[id(value)] = x.moved(value=made)


def _input(frames: Frames, value: Value, axis: int | None) -> Timed:
    if axis is None:
        made = frames.graph.add_input(value.name, value.type)
        made.quant = value.quant
        return Timed(made)
    shape = list(value.shape)
    length, shape[axis] = int(value.shape[axis]), frames.hop
    made = frames.graph.add_input(value.name, TensorType(value.type.dtype, tuple(shape)))
    made.quant = value.quant
    return Timed(made, axis, length=length, sure=length)


def _read(frames: Frames, held: dict[int, Timed], value: Value | None) -> Timed | None:
    if value is None:
        return None
    return Timed(frames.constant(value)) if value.is_constant else held[id(value)]


def _node(frames: Frames, node: Node, xs: list[Timed | None]) -> list[Timed]:
    if not any(x is not None and x.is_stream for x in xs):
        return whole(frames, node, node.op, xs)
    rule = RULES.get(type(node.op))
    if rule is None:
        raise Unsupported(f"'{node.op.name}' over time has no form in a stream", hint=CAUSAL)
    return list(rule(frames, node, node.op, xs))


def _check(frames: Frames, offline: Value, made: Timed) -> None:
    """A programmer's error where a rule gives another shape than it says."""
    wanted = list(offline.shape)
    if made.axis is not None:
        wanted[made.axis] = frames.steps(made)
    assert list(made.value.shape) == wanted, f"%{offline.name} is {made.value.type} in a stream, not {wanted}"


def _output(frames: Frames, made: Timed, offline: Value, look_ahead: int) -> StreamOutput:
    """The output on frames, under the name that it has on windows."""
    if made.value.is_constant or not (made.is_stream or made.ready):
        raise Unsupported("does not depend on the frames", hint="leave it out, or give its input a time axis")
    made = frames.begun(made)
    behind = (made.length - made.sure) * made.stride if made.is_stream else 0
    if behind > look_ahead:
        raise Unsupported(
            f"reads {behind} frames of the future", hint=f"{CAUSAL}; or let the outputs lag behind: look_ahead = {behind}"
        )
    value = made.value
    if frames.graph.is_output(value) or any(value is given for given in frames.graph.inputs):
        value = frames.add(ops.Identity(), value, name=offline.name, quant=value.quant)
    frames.graph.outputs.append(value)
    if value.name != offline.name:
        value.name = frames.graph.unique_name(offline.name)
    if made.axis is None:
        return StreamOutput(value.name, ready=made.ready)
    return StreamOutput(value.name, made.axis, frames.steps(made), made.offset, made.warm)
