"""Samples that ranges are taken of, from whatever data the recipe has."""

from __future__ import annotations

from pathlib import Path

import torch

from edgekit.data import Data, InputSpec, calibration_arrays
from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph
from edgekit.ir.types import dtype_name
from edgekit.train.samples import looked_at

_BATCH = 64


def calibration_batches(graph: Graph, data: object | None, samples: int, root: Path | None) -> list[list[torch.Tensor]]:
    """Inputs batch by batch: of the calibration data, else of the training data.

    Args:
        graph: whose inputs they are.
        data: an ``edgekit.Data``, or what may stand for its training part.
        samples: at most so many.
        root: folder that callables are imported from.

    Raises:
        UsageError: there is none.
        InputError: it does not fit the graph's inputs, or is less than one batch of a graph that is made for one size.
    """
    source: object = data
    if isinstance(data, Data):
        source = data.train if data.calibration is None else data.calibration
    if source is None:
        raise UsageError("quantisation-aware training needs data", where="qat", hint="give data=edgekit.Data(train=...)")
    specs = [InputSpec(v.name, dtype_name(v.type.dtype), v.type.at(1)[1:]) for v in graph.inputs]
    arrays = calibration_arrays(looked_at(source, [spec.name for spec in specs], root), specs, root=root, limit=samples)
    first = graph.inputs[0].type
    size, count = (_BATCH if first.has_batch else first.at(1)[0]), len(arrays[0])
    if not first.has_batch:
        count -= count % size
        if not count:
            raise InputError(
                f"{len(arrays[0])} samples for a graph of batch {size}",
                where="the training data",
                hint=f"give at least {size} samples",
            )
    return [[torch.from_numpy(a[start : min(start + size, count)]) for a in arrays] for start in range(0, count, size)]
