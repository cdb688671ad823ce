"""Several batches for one step, each from a pass of its own over the same training samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgekit.train.batches import Batch, Samples
from edgekit.train.objective import Objective


def draws_of(objective: Objective, samples: Samples) -> int:
    """Batches that a step takes: as many as the objective asks for, and one where the data has only one order."""
    return int(getattr(objective, "draws", 1)) if samples.has_orders else 1


def draws(samples: Samples, count: int, epoch: int, rank: int = 0, world: int = 1, skip: int = 0) -> Iterator[Batch]:
    """The batches of one process in one epoch, each with ``count`` - 1 ``others`` beside it.

    Every draw has all samples of the epoch once, in an order and with an augmentation of its own; the first one is what the
    epoch has without the others. What does not fill a batch is left out of each, and need not be the same samples.

    Args:
        samples: of which.
        count: of the batches in a step.
        epoch: from 0.
        rank: of this process.
        world: number of processes.
        skip: number of steps left out at the beginning.
    """
    passes = [samples.batches(epoch, rank, world, skip, draw) for draw in range(count)]
    if count == 1:
        yield from passes[0]
        return
    for first, *others in zip(*map(_copies, passes), strict=False):  # a loader may end early, as in a training with one draw
        yield replace(first, others=tuple(others))


def _copies(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Datasets and augmentations may give the same memory again for the next batch, while this one is not used yet."""
    for batch in batches:
        yield Batch([x.clone() for x in batch.inputs], [y.clone() for y in batch.targets])
