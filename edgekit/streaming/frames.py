"""The graph on frames while it is built: clones of nodes, and the states between calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.formats.stream_record import StreamState
from edgekit.ir import Graph, Node, QuantParams, TensorType, Value, ops
from edgekit.streaming.timed import Timed


class NeedsHop(Exception):
    """The model's strides demand that a call takes a multiple of so many frames."""

    def __init__(self, multiple: int) -> None:
        super().__init__(multiple)
        self.multiple = multiple


@dataclass(frozen=True)
class _State:
    taken: Value
    given: Value


class Frames:
    """A graph on frames. Emitting methods write nodes for the offline node that is being converted."""

    def __init__(self, offline: Graph, hop: int) -> None:
        self.offline = offline
        self.hop = hop
        self.graph = Graph(offline.name)
        self.node: Node | None = None
        self._states: list[_State] = []
        self._kept: dict[tuple[int, int], Value] = {}
        self._constants: dict[int, Value] = {}
        self._names = {id(value): name for name, value in reversed(offline.state.items())}

    # ------------------------------------------------------------------ nodes

    def constant(self, value: Value) -> Value:
        """The same constant in the graph on frames; parameters keep their names."""
        if id(value) not in self._constants:
            assert value.data is not None
            name = self._names.get(id(value))
            made = self.graph.constant(value.data, value.name) if name is None else self.graph.add_state(name, value.data)
            made.quant = value.quant
            self._constants[id(value)] = made
        return self._constants[id(value)]

    def clone(self, op: ops.Op, inputs: Sequence[Value | None]) -> Node:
        """The node that is being converted, with an op for frames; its results keep name and quantisation."""
        assert self.node is not None
        made = self.graph.add_node(op, inputs, name=self.node.name, where=self.node.where)
        for mine, theirs in zip(made.outputs, self.node.outputs, strict=True):
            mine.quant = theirs.quant
        return made

    def add(self, op: ops.Op, *inputs: Value, name: str, quant: QuantParams | None) -> Value:
        """A node that moves elements; what it gives is quantised like what it moves."""
        where = () if self.node is None else self.node.where
        made = self.graph.add(op, *inputs, name=name, where=where)
        made.quant = quant
        return made

    def cut(self, value: Value, axis: int, start: int, stop: int) -> Value:
        """Steps ``start`` to ``stop`` along an axis; the value itself where these are all."""
        size = value.shape[axis]
        if (start, stop) == (0, size):
            return value
        starts, stops = [0] * value.type.rank, list(value.shape)
        starts[axis], stops[axis] = start, stop
        op = ops.Slice(tuple(starts), tuple(stops), (1,) * value.type.rank)
        return self.add(op, value, name=f"{value.name}.part", quant=value.quant)

    # ------------------------------------------------------------------ states

    def take(self, type: TensorType, quant: QuantParams | None, name: str) -> Value:
        """What the previous call left under a name; zeros at the start. `give` says what this call leaves."""
        taken = self.graph.add_input(f"state.{name}", type)
        taken.quant = quant
        return taken

    def give(self, taken: Value, given: Value) -> None:
        """What the next call takes."""
        self._states.append(_State(taken, given))

    def kept(self, stream: Timed, count: int) -> Value:
        """The last ``count`` steps of the calls before, followed by those of this call."""
        if not count:
            return stream.value
        key = (id(stream.value), count)
        if key not in self._kept:
            value, axis = stream.value, stream.axis
            assert axis is not None
            shape = list(value.shape)
            steps, shape[axis] = shape[axis], count
            taken = self.take(TensorType(value.type.dtype, tuple(shape)), value.quant, value.name)
            joined = self.add(ops.Concat(axis), taken, value, name=f"{value.name}.past", quant=value.quant)
            # Also where the call's own steps alone are next: so the state is written after it is read.
            self.give(taken, self.cut(joined, axis, steps, steps + count))
            self._kept[key] = joined
        return self._kept[key]

    def finish_states(self) -> tuple[StreamState, ...]:
        """Makes what the states are next outputs of the graph, each a value of its own."""
        records = []
        for state in self._states:
            given = state.given
            if self.graph.is_output(given) or any(given is value for value in self.graph.inputs):
                given = self.add(ops.Identity(), given, name=given.name, quant=given.quant)
            self.graph.outputs.append(given)
            name = self.graph.unique_name("next." + state.taken.name.removeprefix("state."))
            given.name = name
            records.append(StreamState(state.taken.name, name))
        return tuple(records)

    # ------------------------------------------------------------------ time

    def steps(self, stream: Timed) -> int:
        """Steps that one call gives."""
        return self.hop // stream.stride

    def delayed(self, stream: Timed, steps: int) -> Timed:
        """A stream that is so many steps late; it begins with zeros."""
        if not steps:
            return stream
        assert stream.axis is not None
        late = self.cut(self.kept(stream, steps), stream.axis, 0, self.steps(stream))
        return stream.moved(value=late, offset=stream.offset + steps)

    def begun(self, stream: Timed) -> Timed:
        """A stream whose offline steps all come since the start: padding in front of them is a delay."""
        return self.delayed(stream, -stream.offset) if stream.is_stream and stream.offset < 0 else stream

    def aligned(self, streams: Sequence[Timed]) -> list[Timed]:
        """Streams with one offset, all of them begun.

        Raises:
            Unsupported: their steps follow one another at different strides.
        """
        if len({stream.stride for stream in streams}) > 1:
            raise Unsupported("joins streams of different strides", hint="bring both branches to one rate")
        last = max(0, *(stream.offset for stream in streams))
        return [self.delayed(stream, last - stream.offset) for stream in streams]

    def window(self, stream: Timed) -> Timed:
        """A snapshot of all steps that the offline value has, the newest last.

        Raises:
            Unsupported: some of them are computed from padding behind the last frame, or never stand at the end of a call.
        """
        if not stream.is_stream:
            return stream
        require_causal(stream)
        steps, length = self.steps(stream), stream.length
        ready, rest = divmod(length + stream.offset, steps)
        if rest:
            raise Unsupported(
                f"reads a window of {length} steps, whose end is never that of a call of {steps} steps",
                hint="another hop, or a window whose length is a multiple of it",
            )
        assert stream.axis is not None
        joined = self.kept(stream, max(0, length - steps))
        size = joined.shape[stream.axis]
        value = self.cut(joined, stream.axis, size - length, size)
        return Timed(value, ready=ready)

    def held(self, snapshot: Timed, calls: int) -> Timed:
        """A snapshot as it was so many calls ago; zeros before the first."""
        value = snapshot.value
        for _ in range(calls):
            taken = self.take(value.type, value.quant, value.name)
            self.give(taken, value)
            value = taken
        return snapshot.moved(value=value, ready=snapshot.ready + calls)

    def together(self, snapshots: Sequence[Timed]) -> list[Timed]:
        """Snapshots of one moment: those that are ready earlier wait for the last."""
        last = max((s.ready for s in snapshots), default=0)
        return [self.held(s, last - s.ready) if s.ready else s for s in snapshots]


def require_causal(stream: Timed) -> None:
    """Unsupported where the last steps are computed from padding behind the last frame, which a stream does not have."""
    if stream.sure < stream.length or stream.warm:
        raise Unsupported(
            "reads a window that begins or ends in padding which a stream does not have",
            hint="pad convolutions over time on the left alone: F.pad(x, (dilation * (kernel - 1), 0)); or none of them",
        )
