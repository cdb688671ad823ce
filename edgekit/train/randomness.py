"""Randomness that a seed decides: numbers mixed from it, every generator set by it, and their states kept in checkpoints."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def mixed(*parts: int | str) -> int:
    """A number below 2**63 that depends on all parts: a seed of its own for each use and epoch."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by ``mixed(*parts)``."""
    return torch.Generator().manual_seed(mixed(*parts))


def seed_all(seed: int) -> None:
    """Sets Python's, numpy's and torch's generators (of all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():  # torch.manual_seed would queue a call for a CUDA that is not there, each time
        torch.cuda.manual_seed_all(seed)


@dataclass(frozen=True)
class _States:
    """The states of all generators."""

    python: Any
    numpy: Any
    torch: Tensor
    cuda: list[Tensor]

    @staticmethod
    def now() -> _States:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return _States(random.getstate(), np.random.get_state(legacy=True), torch.get_rng_state(), cuda)

    def set(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch)
        if self.cuda and len(self.cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(self.cuda)


def states() -> dict[str, Any]:
    """The states of all generators as plain data."""
    now = _States.now()
    version, numbers, following = now.python
    kind, keys, place, has_gauss, gauss = now.numpy
    return {
        "python": [version, list(numbers), following],
        "numpy": [kind, np.asarray(keys).tolist(), int(place), int(has_gauss), float(gauss)],
        "torch": _hex(now.torch),
        "cuda": [_hex(state) for state in now.cuda],
    }


def restore(found: Mapping[str, Any]) -> None:
    """Sets all generators to states that ``states`` gave."""
    version, numbers, following = found["python"]
    kind, keys, place, has_gauss, gauss = found["numpy"]
    _States(
        (version, tuple(numbers), following),
        (kind, np.array(keys, np.uint32), place, has_gauss, gauss),
        _tensor(found["torch"]),
        [_tensor(state) for state in found["cuda"]],
    ).set()


class Apart:
    """Random numbers of its own for a block of code: it goes on where it stopped, and those outside do too."""

    def __init__(self, seed: int) -> None:
        with left_as_it_was():
            seed_all(seed)
            self._inside = _States.now()
        self._outside = self._inside

    def __enter__(self) -> None:
        self._outside = _States.now()
        self._inside.set()

    def __exit__(self, *_: object) -> None:
        self._inside = _States.now()
        self._outside.set()


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """After the block all generators continue as if it had not run."""
    before = _States.now()
    try:
        yield
    finally:
        before.set()


def _hex(state: Tensor) -> str:
    return state.cpu().numpy().tobytes().hex()


def _tensor(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
