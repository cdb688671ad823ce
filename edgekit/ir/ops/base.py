"""What an op is: typed attributes, one torch function that is its meaning, and its cost."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from edgekit.errors import Unsupported
from edgekit.ir.types import PROBES, Batch, TensorType, solve_dim

if TYPE_CHECKING:
    from edgekit.ir.graph import Node

#: Every op of the graph by its name. Closed: an op is added by a class in ``edgekit/ir/ops``.
OPS: dict[str, type[Op]] = {}

#: What an op returns.
Tensors = torch.Tensor | tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Op:
    """One operation. Fields of the subclass are its attributes; an instance is the attributes of one node.

    ``inputs`` names the inputs in order: ``"bias?"`` may be absent (None), ``"*xs"`` takes one or more.
    """

    name: ClassVar[str] = ""
    inputs: ClassVar[tuple[str, ...]] = ()
    #: Runs differently in training (batch norm, dropout).
    acts_in_training: ClassVar[bool] = False
    #: Stands in a graph while it is trained and is gone before anything is exported (fake_quantize).
    only_in_training: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("_"):
            return
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()
        if cls.name in OPS:
            raise ValueError(f"two ops are called '{cls.name}'")
        OPS[cls.name] = cls

    #: The meaning of the op, in torch: ``run(self, *tensors, training=False)``. Ops with several outputs return a tuple.
    run: ClassVar[Callable[..., Tensors]]

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        """Types of the outputs: ``run`` on the meta device at two batch sizes, solved for N."""
        return infer_by_meta(self, types)

    def at(self, batch: int) -> Op:
        """The op with every N in its attributes replaced by a batch size (only shape ops have any)."""
        changes = {
            name: tuple(d.multiple * batch if isinstance(d, Batch) else d for d in value)
            for name, value in self.attributes().items()
            if isinstance(value, tuple) and any(isinstance(d, Batch) for d in value)
        }
        return dataclasses.replace(self, **changes) if changes else self

    def macs(self, node: Node) -> int:
        """Multiply-accumulates for one sample (batch 1). 0 for ops that are not made of them."""
        return 0

    def attributes(self) -> dict[str, Any]:
        """Attribute names and values in order."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def with_(self, **changes: Any) -> Op:
        """The same op with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def __str__(self) -> str:
        given = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if f.default is dataclasses.MISSING or getattr(self, f.name) != f.default
        ]
        return f"{self.name}({', '.join(given)})"


def as_tuple(result: Tensors) -> tuple[torch.Tensor, ...]:
    """The results of an op with one output or several."""
    return result if isinstance(result, tuple) else (result,)


def infer_by_meta(op: Op, types: Sequence[TensorType | None]) -> tuple[TensorType, ...]:
    """Runs the op on meta tensors at two batch sizes and solves each dimension for N."""
    static = not any(t is not None and t.has_batch for t in types) and not _names_batch(op)
    shapes: list[tuple[torch.Tensor, ...]] = []
    for batch in PROBES[:1] if static else PROBES:
        tensors = [None if t is None else torch.empty(t.at(batch), dtype=t.dtype, device="meta") for t in types]
        with torch.no_grad():
            shapes.append(as_tuple(op.at(batch).run(*tensors)))
    if static:
        return tuple(TensorType(t.dtype, tuple(t.shape)) for t in shapes[0])
    out: list[TensorType] = []
    for first, second in zip(*shapes, strict=True):
        if first.dim() != second.dim():
            raise Unsupported(f"the rank of the result of '{op.name}' depends on the batch size")
        dims = tuple(solve_dim((a, b)) for a, b in zip(first.shape, second.shape, strict=True))
        out.append(TensorType(first.dtype, dims))
    return tuple(out)


def _names_batch(op: Op) -> bool:
    return any(
        isinstance(item, Batch)
        for value in op.attributes().values()
        for item in (value if isinstance(value, tuple) else (value,))
    )


def same_type(op: Op, *types: TensorType | None) -> tuple[TensorType, ...]:
    """``infer`` for ops whose result has the type of their first input."""
    first = types[0]
    assert first is not None
    return (first,)


def broadcast_types(*types: TensorType | None, dtype: torch.dtype | None = None) -> tuple[TensorType, ...]:
    """``infer`` for elementwise ops: broadcast shapes, promoted dtype.

    Raises:
        Unsupported: the shapes do not broadcast for every batch size.
    """
    given = [t for t in types if t is not None]
    rank = max(t.rank for t in given)
    dims = []
    for axis in range(rank):
        at_axis = [t.shape[axis - rank + t.rank] for t in given if axis - rank + t.rank >= 0]
        wide = list(dict.fromkeys(d for d in at_axis if d != 1))
        if len(wide) > 1:
            raise Unsupported(
                f"shapes {', '.join(str(t) for t in given)} do not broadcast for every batch size",
                hint="the example's batch size may have coincided with another dimension; try an example of another batch",
            )
        dims.append(wide[0] if wide else 1)
    if dtype is None:
        dtype = given[0].dtype
        for t in given[1:]:
            dtype = torch.promote_types(dtype, t.dtype)
    return (TensorType(dtype, tuple(dims)),)
