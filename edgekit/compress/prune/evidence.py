"""The user's data as what criteria look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.criteria.table import Evidence
from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph
from edgekit.ir.types import dtype_name
from edgekit.train.batches import UNLABELLED

#: Samples that importance and statistics are taken of, at most.
SAMPLES = 512
_BATCH = 64


def evidence(analysis: Analysis, data: object | None, *, labels: bool, seed: int, root: Path | None = None) -> Evidence:
    """Batches of the training data (else the calibration data), with labels where they are needed.

    Args:
        analysis: of the graph.
        data: an ``edgekit.Data``, or anything that its fields may be.
        labels: labels are needed.
        seed: of the step.
        root: folder that callables are imported from.

    Raises:
        UsageError: there is none.
        InputError: it does not fit the model's inputs, or has no labels.
    """
    import torch

    from edgekit.data import Data, InputSpec, calibration_arrays, training_arrays
    from edgekit.train.samples import looked_at

    source: object = data
    if isinstance(data, Data):
        source = data.calibration if data.train is None and not labels else data.train
    if source is None:
        raise UsageError(
            "this way of pruning needs data" + (" with labels" if labels else ""),
            where="prune",
            hint="give data=edgekit.Data(train=...)",
        )
    specs = [InputSpec(v.name, dtype_name(v.type.dtype), v.type.at(1)[1:]) for v in analysis.graph.inputs]
    source = looked_at(source, [spec.name for spec in specs], root)
    targets = None
    if labels:
        arrays, targets = training_arrays(source, specs, root=root, limit=SAMPLES)
        if targets is None:
            raise InputError("no labels to prune with", where="the training data", hint="batches of (x, y), or 'y' in the .npz")
        if not _labelled(targets).all():
            arrays, targets = training_arrays(source, specs, root=root)
            assert targets is not None
            chosen = np.flatnonzero(_labelled(targets))[:SAMPLES]
            if not len(chosen):
                raise InputError(
                    f"none of {len(targets)} samples has a label",
                    where="the training data",
                    hint=f"labels other than {UNLABELLED}, which stands for none, or a criterion without: fpgm, l1, apoz",
                )
            arrays, targets = [array[chosen] for array in arrays], targets[chosen]
    else:
        arrays = calibration_arrays(source, specs, root=root, limit=SAMPLES)
    starts = _starts(analysis.graph, len(arrays[0]))
    batches = [[torch.from_numpy(array[start]) for array in arrays] for start in starts]
    wanted = None if targets is None else [torch.from_numpy(targets[start]) for start in starts]
    return Evidence(analysis, batches, wanted, seed)


def _labelled(targets: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which samples have a label."""
    if not np.issubdtype(targets.dtype, np.integer):
        return np.ones(len(targets), np.bool_)
    return np.asarray((targets != UNLABELLED).reshape(len(targets), -1).any(1))


def _starts(graph: Graph, count: int) -> list[slice]:
    """Stretches of the samples: whole batches for a graph made for one batch size, all samples for others.

    Raises:
        InputError: fewer samples than the graph's batch.
    """
    first = graph.inputs[0].type
    size = _BATCH if first.has_batch else first.at(1)[0]
    stretches = [slice(start, start + size) for start in range(0, count, size)]
    if not first.has_batch:
        stretches = [stretch for stretch in stretches if stretch.stop <= count]
        if not stretches:
            raise InputError(
                f"{count} samples for a graph of batch {size}",
                where="the training data",
                hint=f"give at least {size} samples",
            )
    return stretches
