"""The forms of a file's inputs and outputs.

An input that reaches a convolution or a pool before anything that is not layout-neutral is an image or a signal and is
channels-last in the file, as cameras and sensor buffers deliver it; an output that comes from such an op likewise. A linear
layer over the channels of a signal, between two permutations, is a convolution. Everything else keeps the source's order.
The user can demand either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from edgekit.errors import UsageError
from edgekit.export.tflite.layout.form import Form, channels_last, source
from edgekit.export.tflite.layout.modes import ARRANGERS, SPATIAL
from edgekit.formats.io_metadata import Layout
from edgekit.ir import Graph, Node, Value, ops

#: Ops that have an arranger but end the way of an image: they give the axes another meaning.
_ENDS = (ops.Reshape, ops.Permute, ops.Linear, ops.Matmul)

#: From a value to its readers, or to what computes it.
Step: TypeAlias = Callable[[Value], Iterable[Node]]


def border_layouts(
    graph: Graph, layout: Layout | None, overrides: Mapping[str, Layout]
) -> tuple[dict[str, Layout], dict[str, Layout]]:
    """The layout of each input and each output, by name.

    Args:
        graph: what is exported.
        layout: the same for all, None for the rule above.
        overrides: by name of an input or output; they win.

    Raises:
        UsageError: an override names nothing, or wants channels last of a value without channels and positions.
    """
    known = {value.name for value in (*graph.inputs, *graph.outputs)}
    for name in overrides:
        if name not in known:
            raise UsageError(
                f"a layout is set for '{name}', which is no input or output",
                where="io_layout",
                hint="there are: " + ", ".join(sorted(known)),
            )
    sides: list[dict[str, Layout]] = []
    for values, step in ((graph.inputs, _readers), (graph.outputs, _producers)):
        found: dict[str, Layout] = {}
        for value in values:
            wish = overrides.get(value.name) or layout or ("channels_last" if _meets_spatial(value, step) else "source")
            if wish == "channels_last" and not 3 <= value.type.rank <= 5:
                if value.name in overrides:
                    raise UsageError(
                        f"'{value.name}' has {value.type.rank} dimensions and no channels to move last",
                        where=f"io_layout of '{value.name}'",
                        hint='"source", or none: then images and signals alone are channels-last',
                    )
                wish = "source"
            found[value.name] = wish
        sides.append(found)
    return sides[0], sides[1]


def form_of(shape: tuple[int, ...], layout: Layout) -> Form:
    """The form that a layout means."""
    return channels_last(shape) if layout == "channels_last" else source(shape)


def _readers(value: Value) -> Iterable[Node]:
    return value.users


def _producers(value: Value) -> Iterable[Node]:
    return [] if value.producer is None else [value.producer]


def _meets_spatial(value: Value, step: Step) -> bool:
    """Whether a walk through layout-neutral ops of the value's rank meets a spatial op."""
    rank, seen, pending = value.type.rank, set[int](), [value]
    while pending:
        current = pending.pop()
        for node in step(current):
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node.op, SPATIAL) or _is_filter_of_one_step(node, step):
                return True
            if isinstance(node.op, _ENDS) or type(node.op) not in ARRANGERS:
                continue
            further = node.outputs if step is _readers else node.inputs
            pending += [v for v in further if v is not None and not v.is_constant and v.type.rank == rank]
    return False


def _is_filter_of_one_step(node: Node, step: Step) -> bool:
    """Whether the way enters linear layers over the channels of an image or signal, which leave the channels where they were.

    %y = permute(linear(permute(%x, (0, 2, 1)), @w), (0, 2, 1)) is a convolution of one step, and made of one for targets
    whose layers must say how they round.
    """
    rank = node.output.type.rank
    last, first = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))
    enter, leave = (last, first) if step is _readers else (first, last)
    if rank < 3 or not isinstance(node.op, ops.Permute) or node.op.dims != enter:
        return False
    reached = list(_beyond(node, step))
    while products := [found for found in reached if isinstance(found.op, ops.Linear)]:
        reached = [further for product in products for further in _beyond(product, step)]
        if any(isinstance(found.op, ops.Permute) and found.op.dims == leave for found in reached):
            return True
    return False


def _beyond(node: Node, step: Step) -> Iterator[Node]:
    """The nodes next on the way, conversions left out."""
    for value in node.outputs if step is _readers else node.inputs[:1]:
        for found in step(value) if value is not None else ():
            if isinstance(found.op, ops.Identity):
                yield from _beyond(found, step)
            else:
                yield found
