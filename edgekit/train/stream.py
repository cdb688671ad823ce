"""Training data that a Dataset or a DataLoader yields: never held in memory as a whole."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
)

from edgekit.data import InputSpec
from edgekit.errors import InputError, UsageError
from edgekit.reference import guarded
from edgekit.train.augment import Augmentation
from edgekit.train.batches import Batch, as_batch
from edgekit.train.randomness import Apart, generator, mixed
from edgekit.train.stacked import hold_out


@dataclass(frozen=True)
class Stream:
    """A Dataset or a DataLoader as training data.

    A map-style Dataset (also that of a DataLoader with torch's own samplers) is shuffled anew every epoch by the seed. A
    loader with a sampler of its own, or over an IterableDataset, is taken as it comes. What either draws from the generators of
    torch, numpy and Python comes from states of its own, set anew for every epoch.

    Attributes:
        source: a map-style Dataset, or a loader taken as it comes.
        loader: what a rebuilt loader takes over: ``collate_fn``, ``num_workers`` and so on.
        specs: of the inputs.
        batch_size: of each process.
        seed: of the order.
        chosen, held_out: indices into the Dataset.
        fixed: batches of another size than ``batch_size`` are left out.
        augment: of training batches.
        convert: declared preprocessing.
        name: for errors.
    """

    source: Any
    loader: dict[str, Any]
    specs: tuple[InputSpec, ...]
    batch_size: int
    seed: int
    chosen: torch.Tensor
    held_out: torch.Tensor
    fixed: bool
    augment: Augmentation | None
    convert: Callable[[list[Any]], list[Any]] | None
    name: str

    @property
    def _has_items(self) -> bool:
        return not isinstance(self.source, DataLoader)

    @property
    def count(self) -> int:
        """Training samples in an epoch."""
        return len(self.chosen) if self._has_items else len(self.source) * self.batch_size

    @property
    def identity(self) -> str:
        """The kind of source, its length and its first batch: more can't be told without reading it all."""
        kind = type(self.source.dataset if isinstance(self.source, DataLoader) else self.source).__qualname__
        return f"{kind}:{self.count}:{self.batch_size}:{len(self.held_out)}"

    def steps(self, world: int) -> int:
        """Batches that each process gets.

        Raises:
            InputError: fewer than one, or the loader does not know its length.
        """
        if self._has_items:
            whole, rest = divmod(self.count, self.batch_size * world)
            steps = whole + (1 if world == 1 and not self.fixed and (rest > 1 or not whole) else 0)
        else:
            try:
                steps = len(self.source) // world
            except TypeError:
                raise InputError(
                    "the loader does not know how many batches it has", where=self.name, hint="give its dataset a __len__"
                ) from None
        if not steps:
            raise InputError(
                f"no whole batch of {self.batch_size} for each of {world} process(es)", where=self.name, hint="more samples"
            )
        return steps

    @property
    def has_orders(self) -> bool:
        """A Dataset is read in any order; a loader with its own order has that one, and may not bear two readers at a time."""
        return self._has_items

    def batches(self, epoch: int, rank: int = 0, world: int = 1, skip: int = 0, draw: int = 0) -> Iterator[Batch]:
        """The batches of one process in one epoch, without the first ``skip`` (which the loader still makes).

        Those of another ``draw`` come in another order, where the source is a Dataset.
        """
        own = ("draw", draw) if draw else ()
        steps = self.steps(world)
        apart = Apart(mixed(self.seed, "loader", epoch, rank, *own))
        if self._has_items:
            order = self.chosen[torch.randperm(self.count, generator=generator(self.seed, "order", epoch, *own))]
            mine = [part.tolist() for part in torch.split(order, self.batch_size)][rank::world][:steps]
            made = guarded(self._over(self.source, mine, generator(self.seed, "workers", epoch, *own)), self.name)
        else:
            made = itertools.islice(guarded(self.source, self.name), rank, None, world)
        for step in range(steps):
            with apart:
                value = next(made, None)
            if value is None:
                return
            if step < skip:
                continue
            batch = as_batch(value, self.specs, f"{self.name}, batch {step}", self.convert)
            if self.fixed and batch.size != self.batch_size:
                continue
            if self.augment is not None:
                random = generator(self.seed, "augment", epoch, step, rank, *own)
                batch = Batch(self.augment(batch.inputs, random), batch.targets)
            yield batch

    def validation(self) -> Iterator[Batch]:
        """What was held out, in order."""
        if not len(self.held_out):
            return
        parts = [part.tolist() for part in torch.split(self.held_out, self.batch_size)]
        for index, value in enumerate(guarded(self._over(self.source, parts, generator(self.seed, "workers", -1)), self.name)):
            batch = as_batch(value, self.specs, f"{self.name}, validation batch {index}", self.convert)
            if not self.fixed or batch.size == self.batch_size:
                yield batch

    def _over(self, dataset: Any, parts: list[list[int]], random: torch.Generator) -> DataLoader[Any]:
        return DataLoader(dataset, batch_sampler=parts, generator=random, **self.loader)


def stream(
    source: Any,
    specs: tuple[InputSpec, ...],
    *,
    batch_size: int,
    share: float,
    seed: int,
    fixed: bool,
    augment: Augmentation | None,
    convert: Callable[[list[Any]], list[Any]] | None,
    name: str,
) -> Stream:
    """A Dataset or DataLoader as training data; the arguments are those of :class:`Stream`.

    Raises:
        UsageError: a validation part is wanted of a loader that is taken as it comes.
        InputError: the dataset is empty.
    """
    options: dict[str, Any] = {}
    if isinstance(source, DataLoader):
        batch_size = source.batch_size or batch_size
        if _is_plain(source):
            options = {"collate_fn": source.collate_fn, "num_workers": source.num_workers}
            options |= {"worker_init_fn": source.worker_init_fn, "timeout": source.timeout}
            source = source.dataset
    elif isinstance(source, IterableDataset):
        source = DataLoader(source, batch_size=batch_size)
    if isinstance(source, DataLoader):
        if share:
            raise UsageError(
                "no validation part can be taken from a loader with an order of its own",
                where=name,
                hint="validation = 0, or give the Dataset instead of the loader",
            )
        nothing = torch.arange(0)
        return Stream(source, {}, specs, batch_size, seed, nothing, nothing, fixed, augment, convert, name)
    if not len(source):
        raise InputError("the data is empty", where=name, hint="check the Dataset's __len__")
    chosen, held_out = hold_out(len(source), share, seed, _labels(source))
    return Stream(source, options, specs, batch_size, seed, chosen, held_out, fixed, augment, convert, name)


def is_stream(source: object) -> bool:
    """A Dataset or a DataLoader."""
    return isinstance(source, Dataset | DataLoader)


def _is_plain(loader: DataLoader[Any]) -> bool:
    """Torch's own samplers over a map-style dataset: the order may be made anew."""
    return (
        not isinstance(loader.dataset, IterableDataset)
        and type(loader.batch_sampler) is BatchSampler
        and type(loader.sampler) in (RandomSampler, SequentialSampler)
        and not getattr(loader.sampler, "replacement", False)
    )


def _labels(dataset: Any) -> torch.Tensor | None:
    """Classes of a Dataset that tells them without being read: ``targets`` or ``labels``, or those of a TensorDataset."""
    if isinstance(dataset, Subset):
        inner = _labels(dataset.dataset)
        return None if inner is None else inner[torch.as_tensor(list(dataset.indices))]
    found = getattr(dataset, "targets", None)
    found = getattr(dataset, "labels", None) if found is None else found
    if found is None and isinstance(getattr(dataset, "tensors", None), tuple) and len(dataset.tensors) > 1:
        found = dataset.tensors[-1]
    if found is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy arrays that are not writable
        try:
            return torch.as_tensor(found)
        except (TypeError, ValueError, RuntimeError):
            return None
