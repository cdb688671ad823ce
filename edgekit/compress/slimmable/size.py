"""One of the sizes of a slimmable network. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: What the names of a size's own tensors begin with in ``graph.state``.
PREFIX = "slimmable"


@dataclass(frozen=True, order=True)
class Size:
    """A share of the channels of every layer, and of the residual blocks of every stage.

    Attributes:
        width: share of the channels, the first ones.
        depth: share of the blocks, likewise.
    """

    width: float = 1.0
    depth: float = 1.0

    @property
    def is_whole(self) -> bool:
        """The network itself."""
        return self.width == 1 and self.depth == 1

    @property
    def name(self) -> str:
        """``0.5``, or ``0.5x0.67`` where blocks are left out."""
        return f"{self.width:g}" + ("" if self.depth == 1 else f"x{self.depth:g}")

    def key(self, name: str) -> str:
        """What the size's own tensor of a name is called in ``graph.state``."""
        return f"{PREFIX}.{self.name.replace('.', '_')}.{name}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "width": self.width, "depth": self.depth}
