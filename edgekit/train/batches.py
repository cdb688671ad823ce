"""A batch as the student takes it, and what each of the student's inputs wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from edgekit.data import InputSpec
from edgekit.data.check import as_array, checked
from edgekit.errors import InputError, Unsupported
from edgekit.ir import Graph
from edgekit.ir.types import Batch as BatchDim
from edgekit.ir.types import dtype_name

#: The integer label of a sample whose class is not known, as in torch's cross entropy: it trains by its teacher alone.
UNLABELLED = -100


@dataclass(frozen=True)
class Batch:
    """Samples along axis 0 of every tensor; no targets where the data has none.

    Attributes:
        inputs: one tensor for each of the graph's.
        targets: of the outputs.
        others: batches of the same step that do not go through the student (see ``edgekit.train.draws``).
    """

    inputs: list[Tensor]
    targets: list[Tensor]
    others: tuple[Batch, ...] = ()

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.inputs[0])


class Samples(Protocol):
    """Training data: batches of every epoch, the same ones whenever they are asked for, and a part that is held out."""

    @property
    def count(self) -> int:
        """Training samples in an epoch."""

    @property
    def identity(self) -> str:
        """Differs where the data differs, as far as that can be told."""

    @property
    def has_orders(self) -> bool:
        """An epoch can be had in several orders at the same time."""

    def steps(self, world: int) -> int:
        """Batches that each of so many processes gets in an epoch."""

    def batches(self, epoch: int, rank: int = 0, world: int = 1, skip: int = 0, draw: int = 0) -> Iterator[Batch]:
        """The batches of one process in one epoch, without the first ``skip``; those of another ``draw`` in another order."""

    def validation(self) -> Iterator[Batch]:
        """What was held out; nothing where there is no such part."""


@dataclass(frozen=True)
class Feeding:
    """How samples become a graph's inputs.

    Attributes:
        specs: of every input.
        axes: the axis of every input along which samples stand.
        fixed: the batch that the graph was made for, or None for any.
    """

    specs: tuple[InputSpec, ...]
    axes: tuple[int, ...]
    fixed: int | None

    @staticmethod
    def of(graph: Graph) -> Feeding:
        """From the graph's inputs.

        Raises:
            Unsupported: an input is not made of samples, or a sample fills several rows of it.
        """
        specs, axes, sizes = [], [], []
        dynamic = any(value.type.has_batch for value in graph.inputs)
        for value in graph.inputs:
            shape = value.type.shape
            axis = next((i for i, dim in enumerate(shape) if isinstance(dim, BatchDim)), None if dynamic else 0)
            dim = None if axis is None or not shape else shape[axis]
            if axis is None or dim is None or (isinstance(dim, BatchDim) and dim.multiple != 1):
                raise Unsupported(
                    f"input '{value.name}' is {value.type}: training needs one row of it for each sample",
                    where=f"input '{value.name}'",
                    hint="a loop of your own on graph.module() can feed it",
                )
            if not isinstance(dim, BatchDim):
                sizes.append(dim)
            at_one = value.type.at(1)
            specs.append(InputSpec(value.name, dtype_name(value.type.dtype), at_one[:axis] + at_one[axis + 1 :]))
            axes.append(axis)
        return Feeding(tuple(specs), tuple(axes), min(sizes) if sizes else None)

    def inputs(self, batch: Batch) -> list[Tensor]:
        """The tensors as the graph takes them."""
        return [x.movedim(0, axis) if axis else x for x, axis in zip(batch.inputs, self.axes, strict=True)]


def split_batch(value: Any, names: tuple[str, ...], where: str) -> tuple[list[Any], list[Any]]:
    """Inputs and targets of what a loader yields: ``x``, ``(x, y)``, ``(a, b, y)``, ``((a, b), y)``, a dict by name with "y".

    Several targets are a tuple or list in the place of ``y``, in the order of the outputs.

    Raises:
        InputError: it has not as many inputs as the model.
    """
    targets: Any = None
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], Mapping | tuple | list):
        value, targets = value
    elif isinstance(value, tuple | list) and len(value) == len(names) + 1:
        value, targets = value[:-1], value[-1]
    if isinstance(value, Mapping):
        missing = [name for name in names if name not in value]
        if missing:
            keys = ", ".join(map(str, value))
            raise InputError(f"no data for input '{missing[0]}'", where=where, hint=f"the keys are {keys}")
        targets = value.get("y") if targets is None and "y" not in names else targets
        value = [value[name] for name in names]
    inputs = list(value) if isinstance(value, tuple | list) else [value]
    if len(inputs) != len(names):
        raise InputError(
            f"{len(inputs)} arrays for {len(names)} inputs ({', '.join(names)})",
            where=where,
            hint="yield (x, y), or ((a, b), y) with one array an input, in this order",
        )
    return inputs, [] if targets is None else list(targets) if isinstance(targets, tuple | list) else [targets]


def as_batch(
    value: Any, specs: tuple[InputSpec, ...], where: str, convert: Callable[[list[Any]], list[Any]] | None = None
) -> Batch:
    """A checked batch from what a loader yields.

    Args:
        value: as :func:`split_batch` takes it.
        specs: of the inputs.
        where: for errors.
        convert: declared preprocessing of numpy arrays, before they are checked.

    Raises:
        InputError: shapes or types do not fit, or numbers of samples differ.
    """
    inputs, targets = split_batch(value, tuple(spec.name for spec in specs), where)
    if convert is not None:
        inputs = convert([as_array(item, where) for item in inputs])
    arrays = [torch.from_numpy(checked(as_array(x, where), spec, where)) for x, spec in zip(inputs, specs, strict=True)]
    wanted = [target if isinstance(target, Tensor) else torch.from_numpy(as_array(target, where)) for target in targets]
    counts = {len(tensor) if tensor.dim() else 0 for tensor in (*arrays, *wanted)}
    if len(counts) > 1:
        raise InputError(f"inputs and targets of different numbers of samples: {sorted(counts)}", where=where, hint="one each")
    return Batch(arrays, [target.float() if target.dtype == torch.float64 else target for target in wanted])
