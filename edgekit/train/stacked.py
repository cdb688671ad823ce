"""Training data that is in memory: stacked arrays, shuffled anew every epoch, a part held out by class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgekit.errors import InputError, UsageError
from edgekit.train.augment import Augmentation
from edgekit.train.batches import UNLABELLED, Batch
from edgekit.train.randomness import generator


@dataclass(frozen=True)
class Stacked:
    """Arrays as training data.

    Attributes:
        inputs, targets: samples along axis 0.
        chosen: indices of the samples to train with. held_out: of the validation part.
        batch_size: of each process.
        seed: of order and augmentation.
        fixed: every batch has exactly ``batch_size`` samples; what is left over is skipped.
        augment: of training batches.
    """

    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    chosen: Tensor
    held_out: Tensor
    batch_size: int
    seed: int
    fixed: bool = False
    augment: Augmentation | None = None
    _identity: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Training samples in an epoch."""
        return len(self.chosen)

    @property
    def identity(self) -> str:
        """A hash of all samples and of which are held out."""
        if not self._identity:
            digest = hashlib.sha256()
            for tensor in (*self.inputs, *self.targets, self.chosen, self.held_out):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().view(torch.uint8).numpy().data if tensor.dim() else b"")
            self._identity.append(digest.hexdigest())
        return self._identity[0]

    def steps(self, world: int) -> int:
        """Batches that each process gets.

        The last one may be smaller. It is left out where it would be a single sample (a batch norm has no statistics of one),
        where the graph's batch is fixed, and where several processes could not share it evenly.

        Raises:
            InputError: fewer samples than the processes (or a fixed batch) need.
        """
        whole, rest = divmod(self.count, self.batch_size * world)
        if world == 1 and not self.fixed:
            return whole + (1 if rest > 1 or not whole else 0)
        if not whole and (self.fixed or rest < world):
            raise InputError(
                f"{self.count} training samples for {world} process(es) and a batch of {self.batch_size}",
                where="the training data",
                hint=f"give at least {self.batch_size * world if self.fixed else world}",
            )
        return max(whole, 1)

    @property
    def has_orders(self) -> bool:
        """Of what is in memory, as many as are asked for."""
        return True

    def batches(self, epoch: int, rank: int = 0, world: int = 1, skip: int = 0, draw: int = 0) -> Iterator[Batch]:
        """The batches of one process in one epoch, without the first ``skip``; those of another ``draw`` in another order."""
        own = ("draw", draw) if draw else ()
        order = self.chosen[torch.randperm(self.count, generator=generator(self.seed, "order", epoch, *own))]
        size = min(self.batch_size, self.count // world) if world > 1 else self.batch_size
        for step in range(skip, self.steps(world)):
            start = (step * world + rank) * size
            picked = order[start : start + size]
            inputs = [x[picked] for x in self.inputs]
            if self.augment is not None:
                inputs = self.augment(inputs, generator(self.seed, "augment", epoch, step, rank, *own))
            yield Batch(inputs, [y[picked] for y in self.targets])

    def validation(self) -> Iterator[Batch]:
        """What was held out, in order; of a fixed batch whole ones only."""
        for picked in torch.split(self.held_out, self.batch_size):
            if len(picked) and (not self.fixed or len(picked) == self.batch_size):
                yield Batch([x[picked] for x in self.inputs], [y[picked] for y in self.targets])


def hold_out(count: int, share: float, seed: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Indices to train with and indices held out, both ascending.

    Args:
        count: of the samples.
        share: held out, of every class where ``labels`` are classes (one integer a sample), rounded.
        seed: decides which.
        labels: of the first output.

    Raises:
        UsageError: nothing would be held out, or nothing left.
    """
    if share == 0:
        return torch.arange(count), torch.arange(0)
    order = torch.randperm(count, generator=generator(seed, "validation"))
    held = torch.zeros(count, dtype=torch.bool)
    if labels is not None and labels.numel() == count and not labels.is_floating_point():
        of = labels.reshape(-1)[order]
        for label in torch.unique(of):
            if int(label) == UNLABELLED:
                continue  # such samples tell nothing about a student
            members = order[of == label]
            held[members[: round(share * len(members))]] = True
    else:
        held[order[: round(share * count)]] = True
    if not held.any() or held.all():
        raise UsageError(
            f"'validation' of {share:g} leaves nothing to {'validate' if not held.any() else 'train'} with of {count} samples",
            where="the training data",
            hint="more samples of every class, or another share; a step that chooses nothing on them takes validation = 0",
        )
    return (~held).nonzero().flatten(), held.nonzero().flatten()
