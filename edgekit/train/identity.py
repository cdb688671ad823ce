"""Hashes that tell one graph, and one set of data, from another: what was begun with them may be gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from edgekit.config import is_reference
from edgekit.ir import Graph
from edgekit.train.samples import Preprocessed


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

    Of files and arrays it covers the content; of a Dataset, a loader or a callable only what can be told without running it:
    its type, name and length, and the file of a callable's module.
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
