"""Dimensions, tensor types and places in the user's source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from edgekit.errors import Unsupported


@dataclass(frozen=True)
class Batch:
    """A dimension that is ``multiple`` times the one symbol N, the batch size."""

    multiple: int = 1

    def __str__(self) -> str:
        return "N" if self.multiple == 1 else f"{self.multiple}*N"

    def __repr__(self) -> str:
        return str(self)


#: A dimension: a number, or an integer multiple of the batch size.
Dim = int | Batch

#: The batch size itself.
N = Batch(1)

#: The two batch sizes at which shapes are computed. Never 1, which would be specialised or broadcast.
PROBES: tuple[int, int] = (2, 3)

_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
    "complex64": torch.complex64,
}
#: Element types that a graph may have.
DTYPES = frozenset(_DTYPES.values())
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """``torch.float32`` -> ``"float32"``."""
    return _DTYPE_NAMES[dtype]


def dtype_of(name: str) -> torch.dtype:
    """``"float32"`` -> ``torch.float32``; ValueError for an unknown name."""
    if name not in _DTYPES:
        raise ValueError(f"unknown dtype '{name}'")
    return _DTYPES[name]


@dataclass(frozen=True)
class TensorType:
    """Element type and shape of a value, for example ``float32[N,3,32,32]``."""

    dtype: torch.dtype
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def at(self, batch: int) -> tuple[int, ...]:
        """The shape at one batch size."""
        return tuple(d.multiple * batch if isinstance(d, Batch) else d for d in self.shape)

    def numel(self, batch: int = 1) -> int:
        """Number of elements at one batch size."""
        count = 1
        for size in self.at(batch):
            count *= size
        return count

    @property
    def has_batch(self) -> bool:
        """A dimension depends on the batch size."""
        return any(isinstance(d, Batch) for d in self.shape)

    @property
    def is_float(self) -> bool:
        """The elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def __str__(self) -> str:
        return f"{dtype_name(self.dtype)}[{','.join(str(d) for d in self.shape)}]"

    @staticmethod
    def parse(text: str) -> TensorType:
        """Reads what ``str`` writes; ValueError where it can't."""
        match = re.fullmatch(r"\s*(\w+)\[(.*)\]\s*", text)
        if match is None:
            raise ValueError(f"not a tensor type: '{text}'")
        dims = [part.strip() for part in match[2].split(",") if part.strip()]
        return TensorType(dtype_of(match[1]), tuple(parse_dim(part) for part in dims))

    @staticmethod
    def of(tensor: torch.Tensor) -> TensorType:
        """The type of a constant."""
        return TensorType(tensor.dtype, tuple(tensor.shape))


def parse_dim(text: str) -> Dim:
    """``"3"``, ``"N"`` or ``"16*N"``."""
    if text == "N":
        return N
    if match := re.fullmatch(r"(\d+)\*N", text):
        return Batch(int(match[1]))
    return int(text)


def solve_dim(sizes: Sequence[int]) -> Dim:
    """The dimension that has ``sizes`` at the batch sizes ``PROBES``.

    Raises:
        Unsupported: the size is neither constant nor a multiple of the batch size.
    """
    first, second = sizes
    if first == second:
        return first
    multiple, rest = divmod(first, PROBES[0])
    if rest == 0 and second == multiple * PROBES[1]:
        return Batch(multiple)
    raise Unsupported(
        f"a dimension is {first} at batch {PROBES[0]} and {second} at batch {PROBES[1]}: not a multiple of the batch size",
        hint="keep every dimension constant or a whole multiple of the batch, or fix the batch: batch_axes={name: None}",
    )


@dataclass(frozen=True)
class Where:
    """A place in the user's model: module path, file, line and function. Any of them may be unknown."""

    module: str = ""
    file: str = ""
    line: int = 0
    function: str = ""

    def __str__(self) -> str:
        spot = f"{self.file}:{self.line}" if self.file else ""
        if spot and self.function:
            spot += f", in {self.function}"
        if self.module and spot:
            return f"{self.module} ({spot})"
        return self.module or spot or "unknown place"


def where_text(where: Sequence[Where]) -> str:
    """All places on one line, each once."""
    return "; ".join(dict.fromkeys(str(w) for w in where)) or "unknown place"
