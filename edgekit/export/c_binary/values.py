"""What the C code holds of a value of the graph, and constants as C arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.errors import Unsupported
from edgekit.ir import Value


@dataclass(frozen=True)
class Picture:
    """A value as the C code holds it: rows of pixels, the channels of a pixel together.

    Attributes:
        height, width, channels: sizes; a vector is one pixel.
        signs: held as bits, else as int8.
        flat: the source has flattened it, channel by channel; the order in memory stays.
    """

    height: int
    width: int
    channels: int
    signs: bool = False
    flat: bool = False

    @property
    def pixels(self) -> int:
        """How many."""
        return self.height * self.width

    @property
    def words(self) -> int:
        """Words of 32 bits that hold it."""
        return self.pixels * -(-self.channels // 32) if self.signs else -(-self.pixels * self.channels // 4)


def picture_of(value: Value, signs: bool = False) -> Picture:
    """The form of a value (N, C), (N, C, L) or (N, C, H, W); Unsupported for others."""
    shape = value.tensor_shape
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise Unsupported(f"c-binary holds no values of shape {list(shape)}", hint="one sample of one to three dimensions")
    sizes = (1, 1, *shape[2:])[-2:] if len(shape) > 2 else (1, 1)
    return Picture(sizes[0], sizes[1], shape[1], signs)


def packed(signs: Tensor) -> Tensor:
    """Signs (..., C) as words (..., ceil(C / 32)) int64: bit i of a word is 1 where channel i is +1; the rest is 0."""
    channels = signs.shape[-1]
    words = -(-channels // 32)
    bits = torch.zeros(*signs.shape[:-1], words * 32, dtype=torch.int64)
    bits[..., :channels] = (signs > 0).long()
    weights = torch.ones(32, dtype=torch.int64) << torch.arange(32)
    return (bits.reshape(*signs.shape[:-1], words, 32) * weights).sum(-1)


def array(kind: str, name: str, numbers: Iterable[object]) -> str:
    """A constant array. ``kind``: its C type."""
    texts = [f"0x{n:08x}u" if kind == "uint32_t" else _number(kind, n) for n in numbers]
    rows = [", ".join(texts[at : at + 12]) for at in range(0, len(texts), 12)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n" + "".join(f"  {row},\n" for row in rows) + "};\n"


def _number(kind: str, number: object) -> str:
    if kind == "double":
        return float(number).hex() if number else "0.0"  # type: ignore[arg-type]
    return "(-2147483647 - 1)" if number == -(2**31) else str(number)
