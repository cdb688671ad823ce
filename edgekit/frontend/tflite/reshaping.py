"""Reshapes of tensors whose value has another order of axes, and of tensors whose first dimension is the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, channels_first, plain
from edgekit.ir.types import Batch, Dim


def reshaped(ctx: Lowering, x: Held, shape: Sequence[Dim]) -> Held:
    """x under another shape. One that only adds or drops dimensions of size 1 keeps channels first; any other must have the
    file's own order.
    """
    shape = tuple(shape)
    if x.shape == shape:
        return x
    core = [axis for axis, size in enumerate(x.shape) if size != 1]
    kept = [axis for axis, size in enumerate(shape) if size != 1]
    if not x.is_plain and [x.shape[a] for a in core] == [shape[a] for a in kept]:
        present = sorted(range(len(core)), key=lambda place: x.order[core[place]])
        for order in (channels_first(len(shape)), tuple(range(len(shape)))):
            if sorted(range(len(kept)), key=lambda place: order[kept[place]]) == present:
                moved: list[Dim] = [1] * len(shape)
                for axis, size in zip(order, shape, strict=True):
                    moved[axis] = size
                return Held(ctx.reshape(x.value, moved), order)
    return plain(ctx.reshape(ctx.plain(x), shape))


def resolve(ctx: Lowering, shape: tuple[Dim, ...], wanted: Sequence[Dim]) -> tuple[Dim, ...]:
    """The wanted shape with its -1 filled in, and with the batch where it belongs.

    A file for one sample says ``[1, 560]`` where the graph has ``[N, 560]``: the batch goes to the dimension that has as many
    elements before it as it had.

    Raises:
        InputError: the numbers of elements differ.
    """
    sizes = [ctx.in_file(size) for size in wanted]
    total = prod(ctx.in_file(size) for size in shape)
    if sizes.count(-1) > 1 or any(size < -1 for size in sizes):
        raise ctx.damaged(f"a reshape of {list(shape)} to {list(wanted)}")
    if -1 in sizes:
        known = prod(size for size in sizes if size != -1)
        if known == 0 or total % known:
            raise ctx.damaged(f"a reshape of {list(shape)} to {list(wanted)}")
        sizes[sizes.index(-1)] = total // known
    if prod(sizes) != total:
        raise ctx.damaged(f"a reshape of {list(shape)} to {list(wanted)}")
    batch = next((axis for axis, d in enumerate(shape) if isinstance(d, Batch)), None)
    if batch is None:
        return tuple(sizes)
    before = prod(ctx.in_file(size) for size in shape[:batch])
    stated = [axis for axis, d in enumerate(wanted) if isinstance(d, Batch)]
    count = ctx.building.batch
    for axis in stated or range(len(sizes)):
        if prod(sizes[:axis]) == before and sizes[axis] % count == 0:
            return tuple(Batch(size // count) if place == axis else size for place, size in enumerate(sizes))
    raise ctx.refused(f"a reshape of {list(shape)} to {list(wanted)} mixes samples", "keep the batch a dimension of its own")
