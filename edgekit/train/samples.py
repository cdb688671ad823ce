"""The user's training data, whatever it is, as batches for one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.config import is_reference
from edgekit.data import Data, training_arrays
from edgekit.data.check import as_array
from edgekit.data.sources import describe
from edgekit.errors import UsageError
from edgekit.ir import Graph
from edgekit.reference import call, guarded, load_reference
from edgekit.train.augment import augmentation
from edgekit.train.batches import Feeding, Samples, split_batch
from edgekit.train.settings import Training
from edgekit.train.stacked import Stacked, hold_out
from edgekit.train.stream import is_stream, stream


@dataclass(frozen=True)
class Preprocessed:
    """A Dataset or DataLoader whose raw inputs become what the model takes, batch by batch.

    Attributes:
        source: yields batches (a loader) or samples (a Dataset).
        convert: raw numpy batches of every input to those that the model takes.
        names: of the inputs.
    """

    source: Any
    convert: Callable[[list[Any]], list[Any]]
    names: tuple[str, ...]

    def __iter__(self) -> Iterator[Any]:
        """Converted batches, for those who only look at some."""
        from torch.utils.data import DataLoader

        loader = self.source if isinstance(self.source, DataLoader) else DataLoader(self.source, batch_size=64)
        for batch in guarded(loader, describe(self.source)):
            inputs, targets = split_batch(batch, self.names, describe(self.source))
            converted = tuple(self.convert([as_array(x, describe(self.source)) for x in inputs]))
            yield (converted, targets[0]) if targets else (converted, None)


def looked_at(source: object, names: Sequence[str], root: Path | None = None) -> object:
    """A source as ``edgekit.data`` takes it, for those who only look at some samples.

    A Dataset or a loader, also one that a callable returns, becomes an iterable of batches.
    """
    folder = root or Path.cwd()
    if isinstance(source, str) and is_reference(source):
        value = load_reference(source, folder)
        source = call(value, what=f"'{source}'", root=folder) if callable(value) and not is_stream(value) else value
    return Preprocessed(source, lambda arrays: arrays, tuple(names)) if is_stream(source) else source


def open_samples(data: object, graph: Graph, settings: Training, root: Path | None = None) -> tuple[Samples, Feeding]:
    """The training data as batches, and how they are fed to the graph.

    Args:
        data: an ``edgekit.Data`` with ``train``, or what may stand for that: an .npz, arrays, (x, y), a dict, an iterable of
            batches, a Dataset, a DataLoader, or ``package.module:callable`` that returns one of them.
        graph: the student.
        settings: batch size, seed, validation share and augmentation.
        root: folder that callables are imported from.

    Raises:
        UsageError: no training data; a graph made for another batch size; no validation part can be made.
        InputError: the data does not fit the graph.
    """
    source = data.train if isinstance(data, Data) else data
    if source is None:
        raise UsageError(
            "training needs data",
            where="the training data",
            hint='train = "data.npz" in edgekit.toml, or data=edgekit.Data(train=...)',
        )
    folder = root or Path.cwd()
    name = describe(source)
    if isinstance(source, str) and is_reference(source):
        value = load_reference(source, folder)
        source = call(value, what=f"'{source}'", root=folder) if callable(value) and not is_stream(value) else value
    feeding = Feeding.of(graph)
    if feeding.fixed is not None and feeding.fixed != settings.batch_size:
        raise UsageError(
            f"the model is made for a batch of {feeding.fixed}, and the training wants {settings.batch_size}",
            where=", ".join(f"input '{v.name}' {v.type}" for v in graph.inputs),
            hint=f"batch_size = {feeding.fixed}, or export the model with a batch that may vary",
        )
    augment = augmentation(settings.augment, graph, folder)
    convert = None
    if isinstance(source, Preprocessed):
        source, convert = source.source, source.convert
    fixed = feeding.fixed is not None
    if is_stream(source):
        made = stream(
            source,
            feeding.specs,
            batch_size=settings.batch_size,
            share=settings.validation,
            seed=settings.seed,
            fixed=fixed,
            augment=augment,
            convert=convert,
            name=name,
        )
        return made, feeding
    inputs, targets = _stacked(source, feeding, folder)
    chosen, held_out = hold_out(len(inputs[0]), settings.validation, settings.seed, targets[0] if targets else None)
    return Stacked(inputs, targets, chosen, held_out, settings.batch_size, settings.seed, fixed, augment), feeding


def _stacked(source: object, feeding: Feeding, root: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and targets as tensors; several targets only as ``(inputs, (y, y, ...))``."""
    more: list[Any] = []
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], tuple | list | Mapping):
        targets = source[1]
        if isinstance(targets, Mapping) or (targets and hasattr(targets[0], "__array__")):
            more = list(targets.values()) if isinstance(targets, Mapping) else list(targets)
            source = (source[0] if isinstance(source[0], tuple | list | Mapping) else (source[0],), more[0])
    arrays, labels = training_arrays(source, feeding.specs, root=root)
    found = [] if labels is None else [labels, *(as_array(y, "the training data") for y in more[1:])]
    wanted = [torch.from_numpy(y) for y in found]
    return [torch.from_numpy(x) for x in arrays], [y.float() if y.dtype == torch.float64 else y for y in wanted]
