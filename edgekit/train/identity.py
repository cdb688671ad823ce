"""Hashes that tell one graph, and one set of data, from another: what was begun with them may be gone on with."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from edgekit.config import is_reference
from edgekit.ir import Graph
from edgekit.reference import guarded
from edgekit.train.randomness import Apart
from edgekit.train.samples import Preprocessed
from edgekit.train.stream import is_stream

#: Samples of a Dataset that are looked at.
_SAMPLES = 64


def graph_digest(graph: Graph) -> str:
    """A hash of a graph's structure, names and the bytes of its constants; not of its history."""
    digest = hashlib.sha256(graph.text().encode())
    for value in graph.constants():
        tensor = value.tensor.detach().cpu().contiguous()
        digest.update(f"{value.name}{tensor.dtype}{tuple(tensor.shape)}{value.is_trainable}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def data_digest(source: object, root: Path | None = None) -> str:
    """A hash of a source of data.

    Of files and arrays it covers the content, of a Dataset or a loader its type, length and some samples, of a callable its
    name and the file of its module.
    """
    digest = hashlib.sha256()
    for part in _parts(source, root or Path.cwd()):
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()


def _parts(source: Any, root: Path) -> Iterable[str | bytes]:
    if source is None or isinstance(source, int | float | bool):
        yield repr(source)
    elif isinstance(source, str | Path):
        path = root / source
        if (isinstance(source, Path) or not is_reference(source)) and path.is_file():
            with path.open("rb") as file:
                yield hashlib.file_digest(file, "sha256").digest()
        else:
            yield str(source)
            module = root.joinpath(*str(source).partition(":")[0].split(".")).with_suffix(".py")
            if module.is_file():
                yield hashlib.sha256(module.read_bytes()).digest()
    elif isinstance(source, Mapping):
        for key, value in source.items():
            yield str(key)
            yield from _parts(value, root)
    elif isinstance(source, tuple | list):
        yield f"{len(source)}"
        for value in source:
            yield from _parts(value, root)
    elif isinstance(source, torch.Tensor):
        yield from _parts(source.detach().cpu().float().numpy(), root)
    elif hasattr(source, "identity"):
        yield from _parts(source.identity, root)
    elif is_stream(source):
        yield from _samples(source, root)
    elif isinstance(source, Preprocessed):
        yield from _parts(source.source, root)
    elif hasattr(source, "__array__"):
        import numpy as np

        array = np.ascontiguousarray(source)
        yield f"{array.dtype}{array.shape}"
        yield array.tobytes()
    else:
        yield getattr(source, "__qualname__", type(source).__qualname__)
        yield str(len(source)) if hasattr(source, "__len__") else ""


def _samples(source: Any, root: Path) -> Iterable[str | bytes]:
    """Type, length and evenly spread samples of a Dataset, or the first of one that has no places."""
    dataset = getattr(source, "dataset", source)
    yield type(dataset).__qualname__
    if dataset is not source:
        yield f"{source.batch_size}{type(source.sampler).__qualname__}"
    with Apart(0):  # a sample may have noise: the same one each time
        if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
            count = len(dataset)
            yield str(count)
            places = sorted({round(i * (count - 1) / (_SAMPLES - 1)) for i in range(_SAMPLES)}) if count else []
            found = list(guarded((dataset[place] for place in places), "the training data"))
        else:
            found = list(itertools.islice(guarded(dataset, "the training data"), _SAMPLES))
    yield from _parts(found, root)
