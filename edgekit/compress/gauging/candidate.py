"""A candidate as a file: what a measurement is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgekit.ir import Graph


@dataclass(frozen=True)
class CandidateFile:
    """The bytes of a file, its suffix (``.tflite``), and what it is in a few words (``int8 TFLite``)."""

    content: bytes
    suffix: str
    what: str


class FileMaker(Protocol):
    """Writes a graph as the artifact that it would become.

    Attributes:
        identity: changes with whatever the file depends on beside the graph: a step that measured is begun anew where it does.
    """

    @property
    def identity(self) -> str:
        """See above."""

    def __call__(self, graph: Graph) -> CandidateFile:
        """The file of a graph; raises what an exporter raises."""
