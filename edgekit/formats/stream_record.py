"""``edgekit.stream/1``: what a streaming artifact says about its frames and its states.

The record is JSON, a metadata buffer of a .tflite file or an entry of an .onnx file's metadata_props:

    ``{"hop": 2, "window": 50, "inputs": {"x": 2}, "outputs": [{"name": "y", "axis": null, "ready": 25}],
       "states": [["state.conv1", "next.conv1"]], "kept": "io"}``

A call takes ``hop`` frames of every input along its time axis and one value of every state, all of which begin as zeros, and
gives the outputs and the states of the next call. States that are ``kept`` in "variables" are neither inputs nor outputs of
the file. Axes are those of the source's order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.errors import InputError

#: The name of the record in every kind of artifact.
STREAM_KEY = "edgekit.stream/1"

Kept = Literal["io", "variables"]


@dataclass(frozen=True)
class StreamOutput:
    """An output of a streaming model.

    Attributes:
        name: in the file's signature.
        axis: along which its steps follow one another; None for an output that each call gives anew.
        steps: of one call (with an axis).
        offset: step j since the start is step ``j - offset`` of the model on windows (with an axis).
        warm: from which step of the model on windows on they are equal (with an axis).
        ready: calls since the start after which it equals that of the model on the window that they make up (without an axis).
    """

    name: str
    axis: int | None = None
    steps: int = 1
    offset: int = 0
    warm: int = 0
    ready: int = 0


@dataclass(frozen=True)
class StreamState:
    """A state: the input that takes it and the output that gives the next one."""

    input: str
    output: str


@dataclass(frozen=True)
class StreamRecord:
    """Everything that a caller must know to feed a stream.

    Attributes:
        hop: frames of one call.
        window: frames of the model that it was made from.
        inputs: time axis of each input that comes in frames.
        outputs: the model's own, without the states.
        states: those that the graph takes and gives.
        kept: where they are between calls.
    """

    hop: int
    window: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[StreamOutput, ...]
    states: tuple[StreamState, ...]
    kept: Kept = "io"

    def encode(self) -> bytes:
        """Compact JSON."""
        return json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False).encode()

    def as_dict(self) -> dict[str, Any]:
        """Plain data; `from_dict` gives the record back. Fields of outputs at their defaults are left out."""
        default = StreamOutput("")
        return {
            "hop": self.hop,
            "window": self.window,
            "inputs": dict(self.inputs),
            "outputs": [
                {key: value for key, value in vars(output).items() if value != getattr(default, key)} for output in self.outputs
            ],
            "states": [[state.input, state.output] for state in self.states],
            "kept": self.kept,
        }

    @staticmethod
    def from_dict(document: dict[str, Any]) -> StreamRecord:
        """What `as_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is no such record.
        """
        hop, window, kept = int(document["hop"]), int(document["window"]), document["kept"]
        if hop < 1 or kept not in ("io", "variables"):
            raise ValueError(f"hop {hop}, states kept in {kept!r}")
        return StreamRecord(
            hop,
            window,
            tuple((str(name), int(axis)) for name, axis in document["inputs"].items()),
            tuple(StreamOutput(**output) for output in document["outputs"]),
            tuple(StreamState(str(taken), str(given)) for taken, given in document["states"]),
            kept,
        )


def decode(data: bytes | str, *, where: object | None = None) -> StreamRecord:
    """The record of an artifact.

    Raises:
        InputError: it is damaged.
    """
    try:
        return StreamRecord.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"the file's record of its stream ({STREAM_KEY}) is damaged: {error}", where=where, hint="build the artifact again"
        ) from error
