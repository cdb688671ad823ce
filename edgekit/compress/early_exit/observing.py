"""What the exits of a graph say about labelled samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.compress.early_exit.ensemble import blended
from edgekit.compress.early_exit.objective import require_classes
from edgekit.compress.early_exit.policy import Seen
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.data import Data
from edgekit.data.metrics import Labelled, read_once
from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph, Value
from edgekit.ir.ops import certainty
from edgekit.train.augment import augmentation
from edgekit.train.batches import UNLABELLED, Batch, Feeding, Samples

_AT_ONCE = 250

#: How often every held out sample is altered.
_TIMES = 3


#: Evaluation data: samples of every input, and their classes.
Unseen = tuple[Sequence[NDArray[np.generic]], NDArray[np.generic]]


@dataclass(frozen=True)
class Observed:
    """What exits say of samples.

    Attributes:
        logits: of every exit, (samples, classes) each, the last one's at the end.
        labels: of the samples.
        whole: logits of the network without exits, where the last exit answers otherwise.
        repeats: how many of the samples are the same one, differently augmented.
    """

    logits: list[torch.Tensor]
    labels: NDArray[np.int64]
    whole: torch.Tensor | None = None
    repeats: int = 1

    def together(self, weights: Sequence[float]) -> Observed:
        """With every exit's answer added to the next one's (`ensemble`); these themselves without weights."""
        if not weights:
            return self
        return Observed(blended(self.logits, weights), self.labels, self.logits[-1], self.repeats)

    def seen(self, score: str, temperatures: Sequence[float], costs: Sequence[float], exits: Sequence[int]) -> Seen:
        """For the policy: some of the exits, and the last."""
        chosen = [self.logits[index] for index in exits]
        scores = [certainty(z, score, t)[:, 0].double().numpy() for z, t in zip(chosen, temperatures, strict=True)]
        right = [z.argmax(1).numpy() == self.labels for z in (*chosen, self.logits[-1])]
        empty = np.zeros((0, len(self.labels)))
        whole = None if self.whole is None else self.whole.argmax(1).numpy() == self.labels
        stacked = np.stack(scores) if scores else empty
        return Seen(stacked, np.stack(right), np.asarray(costs, np.float64), whole, self.repeats)


def values_of(
    graph: Graph,
    values: Sequence[Value],
    batches: Iterable[Batch],
    feeding: Feeding,
    dtypes: Sequence[torch.dtype] | None = None,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Some values of a graph in evaluation mode, samples first, in float32 or as said; and the targets of the batches."""
    shown = graph.copy()
    names = [value.name for value in values]
    by_name = {value.name: value for value in shown.values()}
    shown.outputs, shown.signature = [by_name[name] for name in names], None
    shown.eliminate_dead()
    module = shown.module().eval()
    rows: list[list[torch.Tensor]] = [[] for _ in values]
    targets: list[torch.Tensor] = []
    kept_as = dtypes or [torch.float32] * len(values)
    with torch.no_grad():
        for batch in batches:
            for row, tensor, dtype in zip(rows, module.run(feeding.inputs(batch)), kept_as, strict=True):
                row.append(tensor.to(dtype))
            targets += batch.targets[:1]
    return [_joined(row) for row in rows], targets


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """One tensor of all parts, which are forgotten: there may be gigabytes of them."""
    whole = torch.cat(parts) if parts else torch.empty(0)
    parts.clear()
    return whole


def observe(
    graph: Graph, exits: Sequence[Value], batches: Iterable[Batch], feeding: Feeding, where: str, repeats: int = 1
) -> Observed:
    """Every exit's logits and the labels.

    Raises:
        UsageError: there are no samples.
        InputError: they have no labels, or labels that are no classes.
    """
    logits, targets = values_of(graph, exits, batches, feeding)
    if not len(logits[0]):
        raise UsageError(
            "no threshold can be chosen without data that the heads were not trained on",
            where=where,
            hint="validation = 0.1 in the step's training holds out a tenth of the training data",
        )
    labels = torch.cat([y.reshape(-1) for y in targets]) if targets else torch.empty(0)
    if len(labels) != len(logits[0]) or labels.is_floating_point():
        raise InputError("exits need one class a sample as labels", where=where, hint="integer labels: 'y' in the .npz")
    require_classes(labels.long(), logits[-1].shape[1], where)
    known = labels != UNLABELLED
    return Observed([z[known] for z in logits], labels[known].long().numpy(), repeats=repeats)


def held_out(
    step: EarlyExit, graph: Graph, exits: Sequence[Value], samples: Samples, feeding: Feeding, root: Path | None
) -> Observed:
    """Every exit's logits on what was held out, altered as the step says; errors as of ``observe``."""
    change = augmentation(step.held_out_augment, graph, root)
    if change is None:
        return observe(graph, exits, samples.validation(), feeding, "training")
    generator = torch.Generator().manual_seed(step.settings().seed)
    batches = (Batch(change(batch.inputs, generator), batch.targets) for _ in range(_TIMES) for batch in samples.validation())
    return observe(graph, exits, batches, feeding, "training", _TIMES)


def evaluation_of(data: object, feeding: Feeding, classes: int, root: Path | None) -> Unseen | None:
    """Samples and classes of the evaluation data; None where that is a callable or there is none.

    Raises:
        InputError: labels that are not one class a sample, of so many classes.
    """
    source = data.evaluate if isinstance(data, Data) else None
    read = None if source is None else read_once(source, feeding.specs, root=root)
    if not isinstance(read, Labelled):
        return None
    arrays, labels = read.inputs, read.labels
    if labels.dtype.kind not in "biu" or labels.size != len(arrays[0]):
        raise InputError(
            f"exits need one class a sample as labels, and these are {labels.dtype} of shape {labels.shape}",
            where="the evaluation data",
            hint="integer labels, or a callable predict -> {metric: value}, which sees the network as a whole",
        )
    require_classes(torch.from_numpy(labels.astype(np.int64)), classes, "the evaluation data")
    if not (labels.astype(np.int64) != UNLABELLED).any():
        raise InputError("no sample has a label", where="the evaluation data", hint="one class a sample for some of them")
    return arrays, labels


def evaluation(graph: Graph, exits: Sequence[Value], unseen: Unseen, feeding: Feeding) -> Observed:
    """The same on the evaluation data."""
    return observe(graph, exits, _batches(*unseen), feeding, "the evaluation data")


def _batches(arrays: Sequence[NDArray[np.generic]], labels: NDArray[np.generic]) -> Iterable[Batch]:
    for start in range(0, len(labels), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        inputs = [torch.from_numpy(np.ascontiguousarray(array[part])) for array in arrays]
        yield Batch(inputs, [torch.from_numpy(labels[part].astype(np.int64))])
