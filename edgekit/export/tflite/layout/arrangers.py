"""The modes of the ops that TFLite writes in other arrangements than the source's."""

from __future__ import annotations

from math import prod

from edgekit.export.tflite.layout.form import (
    Form,
    Part,
    channels_last,
    permuted,
    reshaped,
    same_elements,
    source,
    squeezed,
    swapped,
    wide,
)
from edgekit.export.tflite.layout.modes import MOST_FORMS, Forms, Mode, arranges, channels_in_parts, fixed, follow
from edgekit.export.tflite.layout.movement import cost
from edgekit.ir import Node, Value, ops

#: Ops that compute each element from those in the same place, with broadcasting.
ELEMENTWISE = (
    *(ops.Add, ops.Sub, ops.Mul, ops.Div, ops.Maximum, ops.Minimum, ops.Pow, ops.FloorDiv, ops.Remainder),
    *(ops.SquaredDifference, ops.Equal, ops.NotEqual, ops.Less, ops.LessEqual, ops.Greater, ops.GreaterEqual),
    *(ops.LogicalAnd, ops.LogicalOr, ops.LogicalNot, ops.Where, ops.Cast, ops.Identity),
    *(ops.Exp, ops.Log, ops.Sqrt, ops.Rsqrt, ops.Square, ops.Abs, ops.Neg, ops.Sign, ops.Floor, ops.Ceil, ops.Round),
    *(ops.Sin, ops.Cos, ops.Relu, ops.Relu6, ops.Clamp, ops.LeakyRelu, ops.Prelu, ops.Elu, ops.Gelu, ops.Hardswish),
    *(ops.Sigmoid, ops.Tanh, ops.BinarySign),
)


@arranges(*ELEMENTWISE)
def elementwise(forms: Forms, node: Node, op: ops.Op) -> list[Mode]:
    """Whatever arrangement the operands come in."""
    return follow(forms, node)


@arranges(ops.MaxPool2d, ops.AvgPool2d, ops.ConvTranspose2d)
def image(forms: Forms, node: Node, op: ops.Op) -> list[Mode]:
    """Channels-last in and out."""
    return [fixed(forms, node, channels_last, channels_last)]


@arranges(ops.MaxPool1d, ops.AvgPool1d, ops.ConvTranspose1d)
def signal(forms: Forms, node: Node, op: ops.Op) -> list[Mode]:
    """As an image of height 1, in and out."""
    return [fixed(forms, node, wide, wide)]


@arranges(ops.Conv1d)
def filter_signal(forms: Forms, node: Node, op: ops.Conv1d) -> list[Mode]:
    """As an image of height 1; a filter of one step also as a product over the channels of a sequence (N, L, C)."""
    modes = signal(forms, node, op)
    return [*modes, fixed(forms, node, channels_last, channels_last)] if _is_product(node, op) else modes


def _is_product(node: Node, op: ops.Conv1d) -> bool:
    """Whether FULLY_CONNECTED computes the convolution: one step of all channels, in float.

    Not in integers: the reference kernel of FULLY_CONNECTED rounds in double precision, those of convolutions in fixed point,
    and what the simulation says of a convolution is to be true of the file in every bit. Those convolutions become linear
    layers of the graph before it is quantised, where the float file has products (``stages.sequence_products``).
    """
    weight = node.input(1)
    if not weight.is_constant or op.groups != 1 or weight.tensor_shape[2:] != (1,):
        return False
    if op.stride != (1,) or op.padding != ((0, 0),):
        return False
    return weight.quant is None and node.output.quant is None


@arranges(ops.Resize)
def resize(forms: Forms, node: Node, op: ops.Resize) -> list[Mode]:
    """An image or a signal."""
    return image(forms, node, op) if node.output.type.rank == 4 else signal(forms, node, op)


@arranges(ops.Conv2d)
def convolution(forms: Forms, node: Node, op: ops.Conv2d) -> list[Mode]:
    """Channels-last, with the channels in any order that a neighbour prefers: reordering weights costs nothing."""
    x, y = node.input(0), node.output
    if not node.input(1).is_constant:
        return image(forms, node, op)
    read = [channels_last(forms.shape(x))]
    give = [channels_last(forms.shape(y))]
    orders = [form for f in forms.of(x) if (form := channels_in_parts(f)) is not None]
    if op.groups == 1:
        read += orders
        give += _wanted_channels(forms, y)
        pairs = [(first, second) for first in dict.fromkeys(read) for second in dict.fromkeys(give)]
    elif op.groups == forms.shape(x)[1] == forms.shape(y)[1]:  # depthwise: each channel stays where it is
        pairs = [(form, Form(give[0].shape, (*give[0].axes[:-1], form.axes[-1]))) for form in (*read, *orders)]
    else:
        pairs = [(read[0], give[0])]
    rest = (None,) * (len(node.inputs) - 1)
    return [Mode((first, *rest), (second,)) for first, second in pairs[:MOST_FORMS]]


def _wanted_channels(forms: Forms, value: Value) -> list[Form]:
    """Orders of the channels that readers of a convolution's output would like: behind a shuffle the plain order."""
    wanted = []
    for reader in value.users:
        if isinstance(reader.op, ops.PixelShuffle):
            wanted.append(shuffled(forms.shape(value), reader.op.factor))
            continue
        chain, end = [], value
        while len(end.users) == 1 and isinstance(end.users[0].op, ops.Reshape | ops.Permute):
            chain.append(end.users[0])
            end = end.users[0].output
        form: Form | None = channels_last(forms.shape(end)) if chain and end.type.rank == 4 else None
        for node in reversed(chain):
            if form is not None:
                form = _undone(form, node, forms.shape(node.input(0)))
        if form is not None and (order := channels_in_parts(form)) is not None:
            wanted.append(order)
    return wanted


def _undone(form: Form, node: Node, shape: tuple[int, ...]) -> Form | None:
    """The form of a movement's input whose elements stand as those of its result in ``form``."""
    if isinstance(node.op, ops.Permute):
        return permuted(form, [node.op.dims.index(axis) for axis in range(len(shape))])
    return reshaped(form, shape)


def shuffled(shape: tuple[int, ...], factor: int) -> Form:
    """Channels-last with channel c * r * r + i * r + j in the place (i * r + j) * C + c, where DEPTH_TO_SPACE expects it."""
    plain, block = channels_last(shape), factor * factor
    return Form(shape, (*plain.axes[:-1], (Part(1, 1, block), Part(1, block, shape[1] // block))))


@arranges(ops.PixelShuffle)
def pixel_shuffle(forms: Forms, node: Node, op: ops.PixelShuffle) -> list[Mode]:
    """Reads channels in DEPTH_TO_SPACE's order."""
    return [fixed(forms, node, lambda shape: shuffled(shape, op.factor), channels_last)]


@arranges(ops.PixelUnshuffle)
def pixel_unshuffle(forms: Forms, node: Node, op: ops.PixelUnshuffle) -> list[Mode]:
    """Gives channels in SPACE_TO_DEPTH's order."""
    return [fixed(forms, node, channels_last, lambda shape: shuffled(shape, op.factor))]


@arranges(ops.Linear)
def linear(forms: Forms, node: Node, op: ops.Linear) -> list[Mode]:
    """FULLY_CONNECTED multiplies what stands last, in any order of its parts, and need not have it flattened.

    The order of the results is free too, where a reshape of them follows.
    """
    x, y = node.input(0), node.output
    shape, last = forms.shape(y), y.type.rank - 1
    rest = (None,) * (len(node.inputs) - 1)
    modes: list[Mode] = []
    for form in dict.fromkeys((*forms.of(x), source(forms.shape(x)))):
        is_last = [any(part.axis == last for part in axis) for axis in form.axes]
        lead, tail = form.axes[: is_last.index(True)] if any(is_last) else form.axes, sum(is_last)
        if (
            not lead
            or not all(is_last[len(lead) :])
            or any(part.axis != last for axis in form.axes[len(lead) :] for part in axis)
        ):
            continue
        if prod(form.physical[len(lead) :]) != form.shape[last]:
            continue
        # With keep_num_dims the leading dimensions stay; without, they are flattened into one.
        leads = [lead] if tail == 1 else []
        if len(lead) > 1 and prod(form.physical[1 : len(lead)]) == 1:
            leads.insert(0, lead[:1])
        elif tail != 1 and len(lead) == 1:
            leads = [lead]
        rows = ((Part(last, 1, shape[last]),), *_wanted_rows(forms, y))
        modes += [Mode((form, *rest), (Form(shape, (*kept, parts)),)) for kept in leads for parts in rows]
    return modes[: 2 * MOST_FORMS]


def _wanted_rows(forms: Forms, value: Value) -> list[tuple[Part, ...]]:
    """Orders of a matrix product's results (N, K) that make a reshape to an image or signal free."""
    if value.type.rank != 2 or len(value.users) != 1 or not isinstance(value.users[0].op, ops.Reshape):
        return []
    shape = forms.shape(value)
    form = reshaped(channels_last(forms.shape(value.users[0].output)), shape)
    if form is None:
        return []
    parts = [part for axis in form.axes for part in axis]
    rows = tuple(part for part in parts if part.axis == 1)
    return [rows] if parts == [*(p for p in parts if p.axis == 0), *rows] else []


@arranges(ops.Matmul)
def matmul(forms: Forms, node: Node, op: ops.Matmul) -> list[Mode]:
    """The second factor may come transposed: BATCH_MATMUL has a flag for it, which costs nothing."""
    a, b = node.input(0), node.input(1)
    first = None if a.is_constant else source(forms.shape(a))
    give = source(forms.shape(node.output))
    if b.is_constant:
        return [Mode((first, None), (give,))]
    plain, turned = source(forms.shape(b)), swapped(forms.shape(b))
    return [Mode((first, form), (give,)) for form in (plain, turned)]


@arranges(ops.Softmax, ops.LogSoftmax)
def softmax(forms: Forms, node: Node, op: ops.Softmax | ops.LogSoftmax) -> list[Mode]:
    """Along the last physical axis."""
    rank = node.output.type.rank
    axis = op.axis % rank
    modes = [mode for mode in follow(forms, node, [axis]) if mode.outputs[0].position(axis) == len(mode.outputs[0].axes) - 1]
    shape = forms.shape(node.output)
    order = [*(other for other in range(rank) if other != axis), axis]
    last = Form(shape, tuple((Part(other, 1, shape[other]),) for other in order))
    return [*modes, Mode((last,), (last,))]


def whole(form: Form, axis: int) -> Form | None:
    """The form with the parts of an axis on one physical axis, where they stand side by side in order; None where not."""
    if form.position(axis) is not None:
        return form
    places = [place for place, row in enumerate(form.axes) if any(part.axis == axis for part in row)]
    parts = [part for place in places for part in form.axes[place]]
    if not places or places != [*range(places[0], places[-1] + 1)] or any(part.axis != axis for part in parts):
        return None
    joined = Form(form.shape, (*form.axes[: places[0]], (Part(axis, 1, form.shape[axis]),), *form.axes[places[-1] + 1 :]))
    return joined if same_elements(form, joined) else None


@arranges(ops.Mean, ops.Sum, ops.Amax, ops.Amin)
def reduce(forms: Forms, node: Node, op: ops.Mean | ops.Sum | ops.Amax | ops.Amin) -> list[Mode]:
    """Over the axes wherever they stand; without ``keepdim`` the others close up in the order that they have."""
    if op.keepdim:
        return follow(forms, node, op.axes)
    x, shape = node.input(0), forms.shape(node.output)
    candidates = list(dict.fromkeys((*forms.of(x), source(forms.shape(x)))))[:MOST_FORMS]
    for axis in op.axes:
        candidates = [joined for form in candidates if (joined := whole(form, axis)) is not None]
    return [Mode((form,), (closed_up(form, op.axes, shape),)) for form in dict.fromkeys(candidates)]


def closed_up(form: Form, axes: tuple[int, ...], shape: tuple[int, ...]) -> Form:
    """The form of a reduction's result: without the axes that are gone, and without those of size 1 that only a form has."""
    kept = [axis for axis in range(len(form.shape)) if axis not in axes]
    new_place = {old: new for new, old in enumerate(kept)}
    rows = [row for row in form.axes if row and all(part.axis not in axes for part in row)]
    return Form(shape, tuple(tuple(Part(new_place[p.axis], p.stride, p.size) for p in row) for row in rows))


@arranges(ops.Argmax, ops.Cumsum)
def along_axis(forms: Forms, node: Node, op: ops.Argmax | ops.Cumsum) -> list[Mode]:
    """Along one axis wherever it stands."""
    x = node.input(0)
    axis = op.axis % x.type.rank
    if isinstance(op, ops.Cumsum):
        return follow(forms, node, [axis])
    shape = forms.shape(node.output)
    modes = []
    candidates = (whole(form, axis) for form in (*forms.of(x), source(forms.shape(x))))
    for form in list(dict.fromkeys(form for form in candidates if form is not None))[:MOST_FORMS]:
        if not all(form.axes):
            continue
        give = form.resized(shape) if op.keepdim else closed_up(form, (axis,), shape)
        if give is not None:
            modes.append(Mode((form,), (give,)))
    return modes


@arranges(ops.Concat, ops.Split)
def along(forms: Forms, node: Node, op: ops.Concat | ops.Split) -> list[Mode]:
    """Along one axis wherever it stands."""
    return follow(forms, node, [op.axis])


@arranges(ops.Slice)
def cut(forms: Forms, node: Node, op: ops.Slice) -> list[Mode]:
    """Any arrangement that has the axes that are cut as they are."""
    shape = forms.shape(node.input(0))
    whole = zip(op.starts, op.stops, op.steps, shape, strict=True)
    axes = [
        axis
        for axis, (start, stop, step, size) in enumerate(whole)
        if (start, step) != (0, 1) or (isinstance(stop, int) and stop < size)
    ]
    return follow(forms, node, axes)


@arranges(ops.Pad)
def pad(forms: Forms, node: Node, op: ops.Pad) -> list[Mode]:
    """Any arrangement that has the padded axes as they are."""
    return follow(forms, node, [axis for axis, pair in enumerate(op.pads) if pair != (0, 0)])


@arranges(ops.Flip)
def flip(forms: Forms, node: Node, op: ops.Flip) -> list[Mode]:
    """Any arrangement that has the reversed axes as they are."""
    return follow(forms, node, op.axes)


@arranges(ops.Expand, ops.Tile)
def repeat(forms: Forms, node: Node, op: ops.Expand | ops.Tile) -> list[Mode]:
    """Any arrangement of the same rank that has the repeated axes as they are."""
    before, after = forms.shape(node.input(0)), forms.shape(node.output)
    if len(before) != len(after):
        return [fixed(forms, node, source, source)]
    return follow(forms, node, [axis for axis, (a, b) in enumerate(zip(before, after, strict=True)) if a != b])


@arranges(ops.Gather)
def gather(forms: Forms, node: Node, op: ops.Gather) -> list[Mode]:
    """Along one axis wherever it stands, if the index is a vector; else in the source's order."""
    if node.input(1).type.rank != 1 or node.input(0).is_constant or not node.input(1).is_constant:
        return [fixed(forms, node, source, source)]
    return follow(forms, node, [op.axis])


@arranges(ops.Reshape, ops.Permute)
def move(forms: Forms, node: Node, op: ops.Reshape | ops.Permute) -> list[Mode]:
    """Nothing moves: the result has the form that its elements have by themselves. Or it is brought into a standard form."""
    x, shape = node.input(0), forms.shape(node.output)
    standard = [source(shape)]
    if len(shape) > 3 and 1 in shape:
        standard.append(squeezed(shape))
    if len(shape) in (3, 4) and (forms.may_be_channels_last(node.output) or _is_channels_last(forms, x)):
        standard += [wide(shape)] if len(shape) == 3 else []
        standard.append(channels_last(shape))
    free, costly = [], []
    for form in (*forms.of(x), source(forms.shape(x))):
        still = permuted(form, op.dims) if isinstance(op, ops.Permute) else reshaped(form, shape)
        if still is not None:
            free.append(Mode((form,), (still,)))
        from_here = still or form
        for goal in standard:
            if still is None and isinstance(op, ops.Permute):
                continue
            costly.append(Mode((form,), (goal,), cost(from_here, goal)))
    if isinstance(op, ops.Permute):  # what stands like the result already, where several readers want it so
        before = _undone(source(shape), node, forms.shape(x))
        free.append(Mode((before,), (source(shape),)))
    # Of many modes only the first are followed: those that move nothing, then the cheapest.
    return _without_worse([*free, *sorted(costly, key=lambda mode: mode.cost)])


def _is_channels_last(forms: Forms, value: Value) -> bool:
    """Whether the value comes from an op that gives its channels last: what is read of it may go on in that order."""
    shape = forms.shape(value)
    return len(shape) in (3, 4) and forms.of(value)[0] == channels_last(shape) != source(shape)


def _without_worse(modes: list[Mode]) -> list[Mode]:
    """Of the modes with the same forms the cheapest; a form that equals another physically is kept once."""
    best: dict[tuple[Form | None, ...], Mode] = {}
    for mode in modes:
        key = (*mode.inputs, *mode.outputs)
        if key not in best or mode.cost < best[key].cost:
            best[key] = mode
    return list(best.values())
