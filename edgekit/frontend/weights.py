"""Checkpoints: recognised by content, read without executing anything in them, fitted to a model's names."""

from __future__ import annotations

import argparse
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.errors import InputError

#: Keys under which training scripts keep the weights beside an epoch and an optimizer.
_NESTING = ("state_dict", "model_state_dict", "model", "net", "weights")
#: What DistributedDataParallel and torch.compile put before every name.
_PREFIXES = ("module.", "_orig_mod.")
_HINT_RESAVE = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
_SHOWN = 8


def read_weights(path: Path, wanted: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors of a checkpoint, and what was done to reach them.

    Args:
        path: a torch checkpoint (zip or legacy), a safetensors file or an ``.npz``, whatever its suffix.
        wanted: the model's own state, to recognise prefixes that it does not have.

    Raises:
        InputError: no such file, none of these formats, damaged, or holding more than plain data (which could run code).
    """
    content = _read(path)
    notes: list[str] = []
    while not _is_state(content):
        key = next((k for k in _NESTING if isinstance(content.get(k), Mapping)), None) if isinstance(content, Mapping) else None
        if key is None:
            held = (
                ", ".join(f"'{k}'" for k in list(content)[:_SHOWN]) if isinstance(content, Mapping) else type(content).__name__
            )
            raise InputError(f"'{path}' holds no table of tensors, but {held}", where=path, hint=_HINT_RESAVE)
        notes.append(f"weights: taken from '{key}' in '{path.name}'")
        content = content[key]
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}
    stripped = True
    while stripped and tensors:
        stripped = False
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in tensors) and not all(name.startswith(prefix) for name in wanted):
                tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
                notes.append(f"weights: prefix '{prefix}' removed from every name")
                stripped = True
    return tensors, notes


def load_into(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> list[str]:
    """Puts tensors into a module; all names and shapes must fit.

    Counters of batches (``num_batches_tracked``), which old checkpoints lack and inference does not read, may be missing.

    Raises:
        InputError: with the missing, unexpected and wrong-shaped names.
    """
    own = module.state_dict(keep_vars=True)
    missing = [name for name in own if name not in tensors]
    counters = [name for name in missing if name.endswith("num_batches_tracked")]
    missing = [name for name in missing if name not in counters]
    unexpected = [name for name in tensors if name not in own]
    wrong = [
        f"{name} (model {tuple(own[name].shape)}, file {tuple(tensor.shape)})"
        for name, tensor in tensors.items()
        if name in own and own[name].shape != tensor.shape
    ]
    if missing or unexpected or wrong:
        rows = [("missing", missing), ("not in the model", unexpected), ("of another shape", wrong)]
        what = ", ".join(f"{len(names)} {kind}" for kind, names in rows if names)
        detail = "\n".join(f"{kind}: {_listed(names)}" for kind, names in rows if names)
        raise InputError(
            f"the weights in '{path.name}' do not fit the model: {what}",
            where=f"{path}\n{detail}",
            hint="build the model with the settings that it was trained with (classes, width, depth)",
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return [f"weights: {len(counters)} counters of batches are not in '{path.name}' and keep their value"] if counters else []


def _is_state(content: Any) -> bool:
    """A table that holds tensors itself (beside, perhaps, a version number)."""
    return isinstance(content, Mapping) and any(isinstance(value, torch.Tensor) for value in content.values())


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InputError(
            f"cannot read the weights '{path}': {error.strerror}", where=path, hint="--weights FILE, from the current folder"
        ) from None
    if start.startswith(b"PK"):
        return _read_zip(path)
    # A safetensors file begins with the length of its header, which is JSON.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from None
    if start.startswith(b"\x80"):
        return _read_torch(path)
    raise InputError(
        f"'{path}' is no checkpoint that edgekit knows",
        where=path,
        hint="weights are a torch checkpoint, safetensors or .npz file",
    )


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            broken = archive.testzip()  # torch reads parts whose checksum is wrong without a word
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError) as error:
        raise _damaged(path, error) from None
    if broken is not None:
        raise _damaged(path, ValueError(f"the checksum of '{broken}' in it is wrong"))
    if any(name.endswith("constants.pkl") for name in names):
        raise InputError(f"'{path}' is TorchScript, not weights", where=path, hint=_HINT_RESAVE)
    if any(name.endswith("data.pkl") for name in names):
        return _read_torch(path)
    if names and all(name.endswith(".npy") for name in names):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
        except (ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
            raise _damaged(path, error) from None
    raise InputError(f"'{path}' is a zip archive, but no checkpoint", where=path, hint=_HINT_RESAVE)


def _read_torch(path: Path) -> Any:
    """With ``weights_only``: tensors and plain data; nothing in the file is executed."""
    # Numpy scalars (a best accuracy) and argparse's namespace are plain data that training scripts like to keep.
    plain = [argparse.Namespace, np.dtype, np._core.multiarray.scalar, *_numpy_types()]  # type: ignore[attr-defined]
    try:
        with torch.serialization.safe_globals(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other protocols: whether they can be read is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own advice, to read the file without weights_only, is no advice to pass on.
        name = str(error).partition("GLOBAL ")[2].partition(" ")[0]
        found = f" ({name})" if name else ", or is a pickle that was not written by torch.save"
        raise InputError(
            f"'{path}' holds more than tensors{found}: reading it could run code, so it is not read",
            where=path,
            hint=_HINT_RESAVE,
        ) from None
    except Exception as error:  # torch.load raises whatever a damaged pickle or archive leads to
        raise _damaged(path, error) from None


def _numpy_types() -> list[type]:
    kinds = (np.float64, np.float32, np.int64, np.int32, np.bool_)
    return [type(np.dtype(kind)) for kind in kinds]


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the weights '{path}' are damaged: {_first_line(error)}", where=path, hint="copy or download the file again"
    )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
