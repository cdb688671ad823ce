"""How a model on windows becomes one on frames: plain data, for ``[streaming]`` and the Python door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kept = Literal["io", "variables"]


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
    state: Kept = "io"
    look_ahead: int = 0

    def __post_init__(self) -> None:
        if self.hop is not None and self.hop < 1:
            raise ValueError(f"'hop' is a number of frames from 1, not {self.hop}")
        if self.look_ahead < 0:
            raise ValueError(f"'look_ahead' is a number of frames from 0, not {self.look_ahead}")


def parse_time(texts: Sequence[str]) -> int | dict[str, int]:
    """``2``, ``-1`` or ``NAME=2`` ... as the time axis of all inputs, or of those that are named.

    Raises:
        ValueError: neither, or both in one command.
    """
    named = {}
    for text in texts:
        name, _, axis = text.rpartition("=")
        try:
            named[name] = int(axis)
        except ValueError:
            raise ValueError(f"'{text}' is no axis") from None
    if "" not in named:
        return named
    if len(texts) > 1:
        raise ValueError("one axis for all inputs, or one for each by its name")
    return named[""]


def with_options(settings: Streaming | None, time: Sequence[str], hop: int | None, state: Kept | None) -> Streaming | None:
    """The settings with what the command line says; None where neither asks for a stream.

    Raises:
        ValueError: an axis that is none, or a hop or state without an axis.
    """
    if time:
        axis = parse_time(time)
        settings = Streaming(axis) if settings is None else replace(settings, time=axis)
    changes = {key: value for key, value in (("hop", hop), ("state", state)) if value is not None}
    if settings is None:
        if changes:
            raise ValueError(f"'{next(iter(changes))}' is of a stream, and no time axis is given")
        return None
    return replace(settings, **changes)  # type: ignore[arg-type]
