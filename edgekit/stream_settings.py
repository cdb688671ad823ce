"""How a model on windows becomes one on frames: plain data, for ``[streaming]`` and the Python door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Streaming:
    """A model that is called once every few frames and keeps what it needs of the past.

    Attributes:
        time: the time axis of the inputs, in the source's order of axes (negative counts from the end): one for all, or by
            input name; an input that is not named comes whole with every call.
        hop: frames of one call; None takes the smallest that the model's strides allow.
        state: "io" for states as further inputs and outputs of the file, "variables" for states that the file keeps itself
            (TFLite's resource variables).
        look_ahead: frames that the outputs may lag behind, for convolutions padded on both sides; 0 refuses them.

    Raises:
        ValueError: a hop or a look-ahead that is no number of frames.
    """

    time: int | Mapping[str, int]
    hop: int | None = None
    state: Literal["io", "variables"] = "io"
    look_ahead: int = 0

    def __post_init__(self) -> None:
        if self.hop is not None and self.hop < 1:
            raise ValueError(f"'hop' is a number of frames from 1, not {self.hop}")
        if self.look_ahead < 0:
            raise ValueError(f"'look_ahead' is a number of frames from 0, not {self.look_ahead}")
