"""A stream in the report: what a call takes, costs and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class StreamInfo:
    """How the artifact is called, frame by frame.

    Attributes:
        hop: frames of one call.
        window: frames of the model that it was made from.
        time: time axis of each input that comes in frames, in the source's order of axes.
        kept: where states are between calls: inputs and outputs ("io") or the file itself ("variables").
        states: how many there are.
        state_bytes: of all of them.
        macs_per_call, macs_per_window: multiply-accumulates of a call, and of the model on windows.
        outputs: as the artifact's record has them (``edgekit.formats.stream_record.StreamOutput``).
    """

    hop: int
    window: int
    time: Mapping[str, int]
    kept: Literal["io", "variables"]
    states: int
    state_bytes: int
    macs_per_call: int
    macs_per_window: int
    outputs: tuple[Mapping[str, Any], ...]
