"""A value of the network on windows, as the network on frames has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edgekit.ir import Value


@dataclass(frozen=True)
class Timed:
    """What stands for a value of the model on windows ("offline") in the graph on frames.

    With an axis it is a stream: every call gives ``hop / stride`` further steps along it, and step j since the start (from 0)
    is step ``j - offset`` of the offline value. Before the start a stream is zero. Without an axis it is a snapshot: each
    call gives it whole.

    Attributes:
        value: in the graph on frames.
        axis: of time; None for a snapshot.
        stride: frames from one step to the next.
        offset: see above; negative where the offline value begins with padding.
        length: steps of the offline value.
        warm: the first offline step from which on both are equal; earlier ones saw padding that a stream does not have.
        sure: offline steps that are computed from frames alone, and not from padding behind the last one.
        ready: of a snapshot, the calls since the start that make up the offline window; 0 where it does not depend on frames.
    """

    value: Value
    axis: int | None = None
    stride: int = 1
    offset: int = 0
    length: int = 0
    warm: int = 0
    sure: int = 0
    ready: int = 0

    @property
    def is_stream(self) -> bool:
        """It has a time axis."""
        return self.axis is not None

    def moved(self, **changes: Any) -> Timed:
        """The same with some fields changed."""
        return replace(self, **changes)
