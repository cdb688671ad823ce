"""Graphs in files: one safetensors file, with the graph as JSON in its metadata under ``edgekit.graph/1``.

The tensors keep the names of their values, so any reader of safetensors finds the weights. Nothing in a file is executed when
it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import EdgekitError, InputError, OutputError
from edgekit.ir.cloning import flatten, unflatten
from edgekit.ir.graph import Graph
from edgekit.ir.graph_json import FORMAT, decode, encode
from edgekit.ir.verify import verify


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Writes a graph whole or not at all. The same graph gives the same bytes.

    Tied tensors are written once. Tensors on another device are written as they would be on the CPU.

    Raises:
        OutputError: the file can't be written.
    """
    from safetensors.torch import save as to_bytes

    flat = flatten(graph)
    tensors: dict[str, torch.Tensor] = {}
    names: dict[tuple[Any, ...], str] = {}

    def tensor_name(index: int) -> str:
        name, _, data, _ = flat.values[index]
        assert data is not None
        key = (data.data_ptr(), data.dtype, tuple(data.shape), data.stride(), data.requires_grad)
        if data.numel() and key in names:  # two values with one tensor stay that way
            return names[key]
        names[key] = name
        tensors[name] = data.detach().cpu().contiguous().clone()
        return name

    document = json.dumps(encode(flat, tensor_name), separators=(",", ":"), allow_nan=False)
    _write(Path(path), to_bytes(tensors, {FORMAT: document}))


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph in a file that ``save`` wrote, verified.

    Raises:
        InputError: there is no such file, it is damaged, it is not a graph, or a newer edgekit wrote it in a newer form.
    """
    path = Path(path)
    document, tensors = _read(path)
    try:
        graph = unflatten(decode(document, tensors.__getitem__))
        verify(graph)
    except (EdgekitError, KeyError, TypeError, ValueError, AssertionError, AttributeError, IndexError, RuntimeError) as error:
        what = f"no entry {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise _damaged(path, what) from error
    return graph


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The document and the tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # Cloned, because what comes out of here is a view of the file, which may be written anew.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise InputError(
            f"no file '{path}'", where=path, hint="check the path; `graph.save` and `edgekit build --dump` write .ekg files"
        ) from None
    except OSError as error:
        raise InputError(
            f"'{path}' can't be read: {error.strerror or error}", where=path, hint="a .ekg file that may be read"
        ) from error
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    if FORMAT not in metadata:
        family, _, _ = FORMAT.partition("/")
        newer = [key for key in metadata if key.startswith(f"{family}/")]
        if newer:
            raise InputError(
                f"'{path}' holds a graph in the form '{newer[0]}', which this edgekit does not know",
                where=path,
                hint=f"install a newer edgekit (this one reads '{FORMAT}')",
            )
        raise InputError(
            f"'{path}' is a safetensors file, but holds no graph",
            where=path,
            hint="give a file of weights with --weights, beside the model as package.module:callable",
        )
    try:
        document = json.loads(metadata[FORMAT])
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(path, "the graph is not an object")
    return document, tensors


def _damaged(path: Path, detail: str) -> InputError:
    return InputError(
        f"'{path}' is damaged or not a graph file: {detail}", where=path, hint="write it again with graph.save(path)"
    )


def _write(path: Path, data: bytes) -> None:
    """Beside the final place first, so that a reader never meets half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise OutputError(
            f"'{path}' can't be written: {error.strerror or error}",
            where=path,
            hint="check that the folder exists and has room",
        ) from error
