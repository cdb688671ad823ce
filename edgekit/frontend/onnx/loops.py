"""Loop and Scan whose number of steps is known while loading: their body is written out once for each step.

An exporter writes a layer's steps so (a cell called in a ``for`` over frames). What the body computes of the step's number is
a constant then, and is folded like all constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.rows import Row
from edgekit.frontend.unrolling import HOW_OFTEN, MOST_NODES, MOST_STEPS, TOO_OFTEN
from edgekit.ir import Value, ops

_HINT = "export the model without loops and branches: unroll them, or export each part by itself"

#: Writes the body out with these names for its inputs; its outputs, None where one has no form in the graph.
Body = Callable[[dict[str, Operand | Row]], "tuple[Operand | Row, ...] | None"]


def unrolled_loop(
    ctx: Lowering, body: Any, inputs: Sequence[Operand | Row | None], write: Body
) -> tuple[Operand | Row, ...] | None:
    """The results of a Loop: what its body carries from step to step, and what it gives at each step, stacked.

    Raises:
        Unsupported: the number of steps is not known while loading, or is too large.
    """
    count, going = (inputs[0] if inputs else None), (inputs[1] if len(inputs) > 1 else None)
    carried = [_carried(ctx, x) for x in inputs[2:]]
    _check_body(ctx, body, 2 + len(carried), 1 + len(carried))
    most = None if count is None else int(_known(ctx, count))
    goes_on = going is None or bool(_known(ctx, going))
    ctx.need(most is not None or going is not None, "has no end", _HINT)
    names = [value.name for value in body.input]
    each: list[list[Value]] = [[] for _ in body.output[1 + len(carried) :]]
    step = 0
    while goes_on and (most is None or step < most):
        _check_size(ctx, body, step + 1 if most is None else most)
        number, yes = ctx.constant(torch.tensor(step), "step"), ctx.constant(torch.tensor(True), "condition")
        results = write(dict(zip(names, (number, yes, *carried), strict=True)))
        if results is None:
            return None
        goes_on = bool(_known(ctx, results[0]))
        carried = [_carried(ctx, x) for x in results[1 : 1 + len(carried)]]
        for collected, result in zip(each, results[1 + len(carried) :], strict=True):
            collected.append(ctx.tensor(result))
        step += 1
    return (*carried, *(_stacked(ctx, values, 0) for values in each))


def unrolled_scan(
    ctx: Lowering, body: Any, inputs: Sequence[Operand | Row | None], write: Body
) -> tuple[Operand | Row, ...] | None:
    """The results of a Scan: states after the last step, and what its body gives at each step, stacked.

    Raises:
        Unsupported: it runs over the batch, or over too many steps.
    """
    ctx.need(ctx.opset >= 9, "is of an opset before 9", "export it with opset_version=17")
    settings = {a.name: list(a.ints) for a in ctx.node.attribute}
    given = [ctx.tensor(_there(ctx, x)) for x in inputs]
    count = next((int(a.i) for a in ctx.node.attribute if a.name == "num_scan_inputs"), 0)
    ctx.need(0 < count <= len(given), "has no sequence to run over")
    states, sequences = given[: len(given) - count], given[len(given) - count :]
    _check_body(ctx, body, len(given), len(states))
    outs = len(body.output) - len(states)
    axes, ways = _each(ctx, settings, "scan_input_axes", count), _each(ctx, settings, "scan_input_directions", count)
    out_axes, out_ways = _each(ctx, settings, "scan_output_axes", outs), _each(ctx, settings, "scan_output_directions", outs)
    axes = [ctx.axis(axis, x.type.rank) for axis, x in zip(axes, sequences, strict=True)]
    steps = {ctx.fixed(x, axis) for axis, x in zip(axes, sequences, strict=True)}
    ctx.need(len(steps) == 1, f"runs over sequences of {sorted(steps)} steps")
    (length,) = steps
    _check_size(ctx, body, length)
    names = [value.name for value in body.input]
    each: list[list[Value]] = [[] for _ in range(outs)]
    for step in range(length):
        now = [
            _at(ctx, x, axis, length - 1 - step if way else step) for x, axis, way in zip(sequences, axes, ways, strict=True)
        ]
        results = write(dict(zip(names, (*states, *now), strict=True)))
        if results is None:
            return None
        states = [ctx.tensor(x) for x in results[: len(states)]]
        for collected, result in zip(each, results[len(states) :], strict=True):
            collected.append(ctx.tensor(result))
    ordered = [values[::-1] if way else values for values, way in zip(each, out_ways, strict=True)]
    return (*states, *(_stacked(ctx, values, axis) for values, axis in zip(ordered, out_axes, strict=True)))


def unrolled_map(
    ctx: Lowering, body: Any, inputs: Sequence[Operand | Row | None], write: Body
) -> tuple[Operand | Row, ...] | None:
    """The results of a SequenceMap: what its body gives for each tensor of the first sequence, as sequences.

    Raises:
        Unsupported: sequences of different lengths, or no sequence.
    """
    given = [_there(ctx, x) for x in inputs]
    lengths = {len(x.items) for x in given if isinstance(x, Row)}
    ctx.need(len(lengths) == 1 and isinstance(given[0], Row), f"runs over sequences of {sorted(lengths)} tensors")
    _check_body(ctx, body, len(given), 1)
    (length,) = lengths
    _check_size(ctx, body, length)
    each: list[list[Operand]] = [[] for _ in body.output]
    for step in range(length):
        now = [x.items[step] if isinstance(x, Row) else x for x in given]
        results = write(dict(zip((value.name for value in body.input), now, strict=True)))
        if results is None:
            return None
        for collected, result in zip(each, results, strict=True):
            collected.append(ctx.tensor(result))
    return tuple(Row(tuple(values)) for values in each)


def _carried(ctx: Lowering, x: Operand | Row | None) -> Value | Row:
    """What goes from step to step: tensors and sequences."""
    found = _there(ctx, x)
    return found if isinstance(found, Row) else ctx.tensor(found)


def _there(ctx: Lowering, x: Operand | Row | None) -> Operand | Row:
    ctx.need(x is not None, "lacks an input")
    assert x is not None
    return x


def _known(ctx: Lowering, x: Operand | Row) -> int | bool | float:
    value = ctx.tensor(x)
    ctx.need(value.is_constant and value.tensor.numel() == 1, HOW_OFTEN, _HINT)
    return value.tensor.reshape(()).item()


def _check_body(ctx: Lowering, body: Any, inputs: int, outputs: int) -> None:
    fits = len(body.input) == inputs and len(body.output) >= outputs
    ctx.need(fits, f"has a body of {len(body.input)} inputs and {len(body.output)} outputs")


def _check_size(ctx: Lowering, body: Any, steps: int) -> None:
    ctx.need(steps <= MOST_STEPS, TOO_OFTEN, _HINT)
    ctx.need(steps * len(body.node) <= MOST_NODES, f"has {steps} steps of {len(body.node)} nodes", _HINT)


def _each(ctx: Lowering, settings: dict[str, list[int]], name: str, count: int) -> list[int]:
    """A setting for each sequence, 0 by default."""
    found = settings.get(name) or [0] * count
    ctx.need(len(found) == count, f"has {found} as its {name}")
    return found


def _at(ctx: Lowering, x: Value, axis: int, step: int) -> Value:
    """One step of a sequence."""
    return ctx.reshape(ctx.slice(x, axis, step, step + 1), (*x.shape[:axis], *x.shape[axis + 1 :]))


def _stacked(ctx: Lowering, values: Sequence[Value], axis: int) -> Value:
    """One tensor of those of all steps."""
    ctx.need(len(values) > 0, "has no step that gives anything", _HINT)
    place = ctx.axis(axis, values[0].type.rank + 1)
    parts = [ctx.reshape(v, (*v.shape[:place], 1, *v.shape[place:])) for v in values]
    return parts[0] if len(parts) == 1 else ctx.add(ops.Concat(axis=place), *parts)
