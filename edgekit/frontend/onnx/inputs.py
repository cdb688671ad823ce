"""The types of a file's inputs: which dimension is the batch, and what the others are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from edgekit.errors import InputError, Unsupported
from edgekit.frontend.input_shapes import parsed_shapes
from edgekit.frontend.onnx.element_types import TORCH, type_name
from edgekit.frontend.torch.problems import Problems
from edgekit.ir.types import Dim, N, TensorType
from edgekit.tables import did_you_mean

#: Names of a free dimension that mean the batch where it does not stand on axis 0.
_BATCH_NAMES = frozenset({"batch", "batch_size", "batchsize", "n", "bs", "b"})


def input_types(
    inputs: Sequence[Any],
    where: str,
    shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    *,
    problems: Problems,
) -> list[TensorType | None]:
    """A type for each input; None for one that has none, which ``problems`` are told.

    A free dimension on axis 0 is the batch, and so are others of the same name. ``shapes`` gives numbers to the free
    dimensions (on the batch axis the number does not matter); ``batch_axes`` says which axis is the batch, also where the file
    has a number there, or with None that an input has none.

    Args:
        inputs: ``ValueInfoProto`` of inputs that are no initialisers.
        where: the file, for errors.
        shapes: as ``edgekit.load`` takes them.
        batch_axes: input name -> axis or None.
        problems: inputs that are no tensors, or of a type that the graph has not, or have free dimensions besides the batch.

    Raises:
        InputError: shapes or axes do not fit the file.
    """
    given = _given(inputs, where, shapes)
    axes = dict(batch_axes or {})
    for name in axes:
        if name not in {value.name for value in inputs}:
            raise InputError(
                f"the model has no input '{name}'", where=where, hint=did_you_mean(name, [value.name for value in inputs])
            )
    symbol = _symbol(inputs)
    types: list[TensorType | None] = []
    free: list[str] = []
    for value in inputs:
        types.append(None)
        try:
            kind, dims = _declared(value, where)
        except Unsupported as error:
            problems.add("input", where, error.what, error.hint)
            continue
        shape = given.get(value.name)
        if dims is None:
            dims = [""] * len(shape) if shape is not None else None
        if dims is None:
            free.append(f"'{value.name}' has no shape")
            continue
        if shape is not None and len(shape) != len(dims):
            raise InputError(f"input '{value.name}' has {len(dims)} dimensions, not {list(shape)}", where=where)
        out: list[Dim] = []
        for axis, dim in enumerate(dims):
            if _is_batch(value.name, axis, dim, len(dims), symbol, axes):
                out.append(N)
            elif isinstance(dim, int):
                if shape is not None and shape[axis] != dim:
                    raise InputError(
                        f"axis {axis} of the input '{value.name}' is {dim} in the file, not {shape[axis]}",
                        where=where,
                        hint="only dimensions that the file leaves free can be given a size",
                    )
                out.append(dim)
            elif shape is not None:
                out.append(shape[axis])
            else:
                free.append(f"axis {axis}{f' ({dim!r})' if dim else ''} of '{value.name}' {_shown(dims)}")
                break
        else:
            types[-1] = TensorType(TORCH[kind], tuple(out))
    if free:
        problems.add(
            "input",
            where,
            f"the sizes of inputs are free besides the batch: {'; '.join(free)}",
            "give them sizes: --input-shape NAME=1,3,224,224, or ek.load(path, input_shapes={'NAME': (1, 3, 224, 224)})",
        )
    return types


def _declared(value: Any, where: str) -> tuple[int, list[int | str] | None]:
    """Number of the element type, and dimensions: a number, a name, or ``""``; None where no shape is declared."""
    form = value.type.WhichOneof("value")
    if form != "tensor_type":
        name = (form or "nothing").removesuffix("_type")
        raise Unsupported(f"the input '{value.name}' is a {name}, not a tensor", where=where, hint="pass tensors only")
    kind = int(value.type.tensor_type.elem_type)
    if kind not in TORCH or TORCH[kind] == torch.bfloat16:
        raise Unsupported(
            f"the input '{value.name}' is of {type_name(kind)}", where=where, hint="export it as float32, int32 or int64"
        )
    if not value.type.tensor_type.HasField("shape"):
        return kind, None
    dims: list[int | str] = []
    for dim in value.type.tensor_type.shape.dim:
        size = int(dim.dim_value) if dim.HasField("dim_value") else None
        if size is not None and size < 0:
            if size != -1:
                raise InputError(f"the input '{value.name}' has a size of {size}", where=where)
            size = None  # some writers mean a free dimension
        dims.append(str(dim.dim_param) if size is None else size)
    return kind, dims


def _symbol(inputs: Sequence[Any]) -> str:
    """The name of the batch's dimension: that of the first free axis 0, else a usual name for it."""
    dims = [list(value.type.tensor_type.shape.dim) for value in inputs if value.type.HasField("tensor_type")]
    for row in dims:
        if row and row[0].dim_param:
            return str(row[0].dim_param)
    return next((str(d.dim_param) for row in dims for d in row if d.dim_param.lower() in _BATCH_NAMES), "")


def _is_batch(name: str, axis: int, dim: int | str, rank: int, symbol: str, axes: Mapping[str, int | None]) -> bool:
    if name in axes:
        chosen = axes[name]
        return chosen is not None and axis == (chosen + rank if chosen < 0 else chosen)
    return isinstance(dim, str) and (axis == 0 or (dim == symbol and bool(symbol)))


def _given(inputs: Sequence[Any], where: str, shapes: Mapping[str, Any] | Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Shapes by input name; unnamed ones belong to the other inputs in their order."""
    if not shapes:
        return {}
    names = [value.name for value in inputs]
    parsed = parsed_shapes(shapes)
    left = [name for name in names if name not in {name for name, _, _ in parsed}]
    found: dict[str, tuple[int, ...]] = {}
    for name, shape, _ in parsed:
        if not name and not left:
            raise InputError("more input shapes than inputs", where=where, hint=f"its inputs: {', '.join(names)}")
        name = name or left.pop(0)
        if name not in names:
            raise InputError(f"the model has no input '{name}'", where=where, hint=did_you_mean(name, names))
        found[name] = shape
    return found


def _shown(dims: Sequence[int | str]) -> str:
    return f"[{', '.join(str(dim) or '?' for dim in dims)}]"
