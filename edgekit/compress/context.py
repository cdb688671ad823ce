"""What surrounds a step inside a recipe: plain facts that a step which trains may need beside its graph and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.compress.gauging.candidate import FileMaker
    from edgekit.ir import Graph


@dataclass(frozen=True)
class Context:
    """Where a step runs.

    Attributes:
        source: the network before any compression: the teacher "source".
        folder: of the step's checkpoints; None: it keeps none, and begins anew when it is started again.
        root: folder that the user's callables are imported from; None: the current one.
        say: is told what goes on, a line at a time.
        file: writes a candidate as the file that the build would make of it, for budgets that are measured; None: a plain
            TFLite file.
    """

    source: Graph | None = None
    folder: Path | None = None
    root: Path | None = None
    say: Callable[[str], None] | None = None
    file: FileMaker | None = None

    def inside(self, name: str) -> Context:
        """The same, with a folder within the folder."""
        return self if self.folder is None else replace(self, folder=self.folder / name)
