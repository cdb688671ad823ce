"""Which arrays of an .npz file are the inputs and which the labels."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from edgekit.data.check import as_array
from edgekit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

Purpose = Literal["calibration", "evaluation", "training"]

_INPUT_KEYS: dict[Purpose, tuple[str, ...]] = {
    "calibration": ("x", "x_train"),
    "evaluation": ("x", "x_test"),
    "training": ("x", "x_train"),
}
_LABEL_KEYS = ("y", "y_train", "y_test")


def read_npz(path: Path, names: Sequence[str], purpose: Purpose) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The inputs in the order of ``names``, and the labels where there are any.

    Inputs are the arrays named after them; for a model of one input else ``x``, else ``x_train`` (``x_test`` for evaluation),
    else the only array that is no label. Labels are ``y``, else the ``y_train`` / ``y_test`` that goes with it.

    Raises:
        InputError: the file is missing or damaged, holds pickled objects, or its keys do not say what is what.
    """
    try:
        # Opened here, because numpy leaves the file open when its content is damaged.
        with path.open("rb") as file:
            return _read_open(file, path, names, purpose)
    except FileNotFoundError:
        raise InputError(
            f"no {purpose} data at '{path}'", where=path, hint="an .npz file, or package.module:callable"
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"cannot read '{path}' as .npz: {error}", where=path, hint="np.savez(path, x=..., y=...) writes one"
        ) from None


def _read_open(
    file: BinaryIO, path: Path, names: Sequence[str], purpose: Purpose
) -> tuple[list[np.ndarray], np.ndarray | None]:
    import numpy as np

    content = np.load(file, allow_pickle=False)
    if isinstance(content, np.ndarray):  # an .npy file: the only array
        if len(names) != 1:
            raise InputError(f"one array for {len(names)} inputs", where=path, hint=f"an .npz with the keys {_listed(names)}")
        return [as_array(content, str(path))], None
    with content:
        keys = _choose(list(content.files), names, purpose, path)
        labels = _label_key(list(content.files), keys, purpose)
        arrays = [as_array(content[key], f"{path}, array '{key}'") for key in keys]
        return arrays, None if labels is None else as_array(content[labels], f"{path}, array '{labels}'")


def _choose(keys: list[str], names: Sequence[str], purpose: Purpose, path: Path) -> list[str]:
    if all(name in keys for name in names):
        return list(names)
    if len(names) == 1:
        others = [key for key in keys if key not in _LABEL_KEYS]
        for key in _INPUT_KEYS[purpose]:
            if key in keys:
                return [key]
        if len(others) == 1 and others[0] not in ("x_train", "x_test"):
            return others
    allowed = _listed(names) if len(names) > 1 else f"'{names[0]}', " + " or ".join(f"'{key}'" for key in _INPUT_KEYS[purpose])
    raise InputError(
        f"cannot tell which arrays are the {purpose} inputs; the file has {_listed(sorted(keys)) or 'none'}",
        where=path,
        hint=f"name them {allowed}",
    )


def _label_key(keys: list[str], inputs: list[str], purpose: Purpose) -> str | None:
    """The labels that go with these inputs: ``x_test`` goes with ``y_test`` before ``y``."""
    paired = {"x_train": "y_train", "x_test": "y_test"}.get(inputs[0], "y")
    fallback = "y_test" if purpose == "evaluation" else "y_train"
    candidates = [key for key in (paired, "y", fallback) if key in keys and key not in inputs]
    return candidates[0] if candidates else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
