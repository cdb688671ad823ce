"""Modes: the ways in which a node can be written, as forms of what it reads and gives.

A convolution has one mode, channels-last in and out. An addition has one for each form that an operand can come in. A
reshape has one that moves nothing, and others that end in a form that the next op may prefer. `assign` picks one mode
for every node so that the transposes between them cost least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgekit.export.tflite.layout.form import Form, Part, channels_last, source, wide
from edgekit.ir import Graph, Node, Value, ops

#: More forms than this are not followed for one value; the standard ones come first.
MOST_FORMS = 6


@dataclass(frozen=True)
class Mode:
    """One way to write a node.

    Attributes:
        inputs: the form that each input is read in; None for a constant and for an absent input.
        outputs: the form of each output.
        cost: what this way costs beyond the node's own work, in element copies.
    """

    inputs: tuple[Form | None, ...]
    outputs: tuple[Form, ...]
    cost: float = 0.0


class Forms:
    """The forms in which values can come, while the nodes are visited in order."""

    def __init__(self, graph: Graph, batch: int) -> None:
        self.graph = graph
        self.batch = batch
        self._forms: dict[int, tuple[Form, ...]] = {}
        self._reach_spatial = _reaching_spatial(graph)

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape at the file's batch."""
        return value.type.at(self.batch)

    def of(self, value: Value) -> tuple[Form, ...]:
        """The forms that the producer of a value can give it; a constant is as in the source."""
        return (source(self.shape(value)),) if value.is_constant else self._forms[id(value)]

    def may_be_channels_last(self, value: Value) -> bool:
        """Whether some op that wants channels last is computed from the value; for others that form is no candidate."""
        return id(value) in self._reach_spatial

    def set(self, value: Value, forms: Iterable[Form]) -> None:
        """State the forms of a graph input, or those that a producer's modes give."""
        self._forms[id(value)] = tuple(dict.fromkeys(forms))


#: Ops that want channels last.
SPATIAL = (
    *(ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Resize, ops.PixelShuffle, ops.PixelUnshuffle),
    *(ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d, ops.AdaptiveAvgPool2d, ops.AdaptiveMaxPool2d),
)


def _reaching_spatial(graph: Graph) -> set[int]:
    """Values from which a spatial op can be reached before the next product or recurrence fixes the order again."""
    reaching: set[int] = set()
    for node in reversed(graph.nodes):
        passes = type(node.op) in ARRANGERS and not isinstance(node.op, ops.Linear | ops.Matmul)
        if isinstance(node.op, SPATIAL) or (passes and any(id(output) in reaching for output in node.outputs)):
            reaching.update(id(value) for value in node.inputs if value is not None)
    return reaching


Arranger: TypeAlias = Callable[[Forms, Node, Any], list[Mode]]

ARRANGERS: dict[type[ops.Op], Arranger] = {}


def arranges(*classes: type[ops.Op]) -> Callable[[Arranger], Arranger]:
    """Registers a function that lists the modes of these op classes."""

    def register(arranger: Arranger) -> Arranger:
        for op_class in classes:
            if op_class in ARRANGERS:
                raise ValueError(f"two arrangers for '{op_class.name}'")
            ARRANGERS[op_class] = arranger
        return arranger

    return register


def modes_of(forms: Forms, node: Node) -> list[Mode]:
    """The modes of a node, in the source's order where nothing else is stated for its op."""
    arranger = ARRANGERS.get(type(node.op), in_source_order)
    return list(dict.fromkeys(arranger(forms, node, node.op)))[: 4 * MOST_FORMS]


def in_source_order(forms: Forms, node: Node, op: ops.Op) -> list[Mode]:
    """One mode: everything as in the source."""
    return [fixed(forms, node, source, source)]


def fixed(forms: Forms, node: Node, read: Callable[[tuple[int, ...]], Form], give: Callable[[tuple[int, ...]], Form]) -> Mode:
    """The mode that reads the first input and gives the outputs in stated forms, all else in the source's order."""
    inputs = [
        None if value is None or value.is_constant else (read if index == 0 else source)(forms.shape(value))
        for index, value in enumerate(node.inputs)
    ]
    return Mode(tuple(inputs), tuple(give(forms.shape(output)) for output in node.outputs))


def follow(forms: Forms, node: Node, axes: Sequence[int] = ()) -> list[Mode]:
    """Modes of a node that works in any arrangement: one for each form that an input of full rank can come in.

    A form that has one of ``axes``, which the node works along, in parts or together with others is left out.
    """
    (output, *_) = node.outputs
    shape = forms.shape(output)
    wanted: list[Form] = []
    for value in node.inputs:
        if value is None or value.is_constant or value.type.rank != len(shape):
            continue
        wanted += [form for f in forms.of(value) if (form := f.resized(shape)) is not None]
    if len(shape) == 3 and wide(shape) in wanted:  # a signal may stand as a sequence (N, L, C) beside others that do
        wanted.append(channels_last(shape))
    wanted.append(source(shape))
    modes = []
    for form in list(dict.fromkeys(wanted))[:MOST_FORMS]:
        inputs = [None if v is None or v.is_constant else operand_form(form, forms.shape(v)) for v in node.inputs]
        outputs = [form.resized(forms.shape(value)) for value in node.outputs]
        missing = any(i is None and v is not None and not v.is_constant for i, v in zip(inputs, node.inputs, strict=True))
        if missing or any(f is None or f.positions(axes) is None for f in outputs):
            continue
        if any(f is not None and len(f.shape) == len(shape) and f.positions(axes) is None for f in inputs):
            continue
        modes.append(Mode(tuple(inputs), tuple(f for f in outputs if f is not None)))
    return modes or in_source_order(forms, node, node.op)  # of many forms none may suit an operand of another shape


def operand_form(form: Form, shape: tuple[int, ...]) -> Form | None:
    """The form of an operand of fewer or broadcast dimensions beside a result in ``form``; None where it has none.

    Its physical axes stand opposite those of the result, as numpy's rules for broadcasting demand.
    """
    missing = len(form.shape) - len(shape)
    extended = form.resized((*[1] * missing, *shape))
    if extended is None:
        return None
    axes = [
        tuple(Part(part.axis - missing, part.stride, part.size) for part in axis if part.axis >= missing)
        for axis in extended.axes
    ]
    while missing and len(axes) > len(shape) and not axes[0]:
        axes.pop(0)  # leading axes of size 1 are implied, where another operand has them
    return Form(shape, tuple(axes))


def channels_in_parts(form: Form) -> Form | None:
    """The channels-last form with the channels in the order in which ``form`` has them; None if it has other axes otherwise.

    A convolution can give its channels, and read them, in any order: its weights are reordered.
    """
    plain = channels_last(form.shape)
    parts = [part for axis in form.axes for part in axis if part.size != 1]
    others = [part for part in parts if part.axis != 1]
    if others != [part for axis in plain.axes[:-1] for part in axis if part.size != 1]:
        return None
    channels = tuple(part for part in parts if part.axis == 1)
    if parts != [*others, *channels] or not channels:
        return None
    return Form(form.shape, (*plain.axes[:-1], channels))
