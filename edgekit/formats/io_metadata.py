"""``edgekit.io/1``: what an artifact says about its own inputs and outputs, so that it can be fed without anything else.

The record is JSON. In a .tflite file it is a metadata buffer of this name, in an .onnx file an entry of metadata_props.
What the file itself says is not repeated: a key stands in the record only where it differs from

    ``{"inputs": [{...}, ...], "outputs": [{...}, ...], "structure": 0}``

    name           the tensor's name in the file's signature
    layout         "source"; "channels_last" where the file moved axis 1 of the source to the end
    batch          0, the axis of the source along which samples are stacked; null: the tensor belongs to no sample
    shape          the file's shape, brought back to the source's order
    dtype          the file's type
    scale, zero_point   the file's quantisation: real = scale * (integer - zero_point)
    preprocessing  none; {"scale", "mean", "std", "layout", "by_quantization"} that the artifact itself applies to raw input

Inputs, outputs or a structure that are all as said here are left out. ``structure`` nests the outputs as the source
returned them: a number is an output by its place, an array a tuple, an array that starts with "list" a list, an object
a dict, null None. A classifier's record takes 38 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edgekit.errors import InputError

#: The name of the record in every kind of artifact.
IO_KEY = "edgekit.io/1"

Layout = Literal["source", "channels_last"]

#: How outputs are nested: an output's place, a tuple, a list (``["list", ...]`` in the record), a dict or None.
Structure: TypeAlias = "int | tuple[Structure, ...] | list[Structure] | dict[str, Structure] | None"


@dataclass(frozen=True)
class FileTensor:
    """An input or output as the file declares it.

    Attributes:
        name: the name in the file's signature, else the tensor's name.
        shape: with the file's own batch; None for a dimension that the caller chooses.
        dtype: numpy's name of the type of the values that are passed.
        scale: real = scale * (value - zero_point); None for a tensor that is not quantised.
        zero_point: 0 for a tensor that is not quantised.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True)
class Preprocessing:
    """What the artifact does to raw input before the model: ``(x / scale - mean) / std``, after a change of layout."""

    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: str = ""
    #: The tensor's own quantisation does it: its real values are the preprocessed ones.
    by_quantization: bool = False


@dataclass(frozen=True)
class TensorIo:
    """An input or output between the source's world and the file's.

    Attributes:
        file: the tensor in the file.
        layout: how the file's order of axes relates to the source's.
        batch: the axis of the source along which samples are stacked, None for a tensor that belongs to no sample.
        preprocessing: what the artifact applies to a raw input.
    """

    file: FileTensor
    layout: Layout = "source"
    batch: int | None = 0
    preprocessing: Preprocessing | None = None

    @property
    def source_shape(self) -> tuple[int | None, ...]:
        """The shape in the source's order of axes, None where the batch or another free dimension stands."""
        shape = list(self.file.shape)
        if self.layout == "channels_last":
            shape.insert(1, shape.pop())
        if self.batch is not None:
            shape[self.batch] = None
        return tuple(shape)

    @property
    def file_batch(self) -> int | None:
        """The axis of the file's tensor along which samples are stacked."""
        if self.batch is None or self.layout == "source" or self.batch == 0:
            return self.batch
        return len(self.file.shape) - 1 if self.batch == 1 else self.batch - 1


@dataclass(frozen=True)
class IoRecord:
    """All inputs and outputs of an artifact, and how the source nested its outputs."""

    inputs: tuple[TensorIo, ...]
    outputs: tuple[TensorIo, ...]
    structure: Structure = 0


def encode(record: IoRecord) -> bytes:
    """The record as compact JSON."""
    document: dict[str, Any] = {}
    for side, tensors in (("inputs", record.inputs), ("outputs", record.outputs)):
        entries = [_encode_tensor(tensor) for tensor in tensors]
        if any(entries):
            document[side] = entries
    if record.structure != 0 or isinstance(record.structure, bool):
        document["structure"] = _encode_structure(record.structure)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _encode_tensor(tensor: TensorIo) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if tensor.layout != "source":
        entry["layout"] = tensor.layout
    if tensor.batch != 0:
        entry["batch"] = tensor.batch
    if (given := tensor.preprocessing) is not None:
        fields: dict[str, Any] = {"scale": given.scale, "mean": given.mean, "std": given.std, "layout": given.layout}
        fields["by_quantization"] = given.by_quantization
        default = Preprocessing()
        entry["preprocessing"] = {key: value for key, value in fields.items() if value != getattr(default, key)}
    return entry


def _encode_structure(structure: Structure) -> Any:
    if isinstance(structure, list):
        return ["list", *(_encode_structure(item) for item in structure)]
    if isinstance(structure, tuple):
        return [_encode_structure(item) for item in structure]
    if isinstance(structure, dict):
        return {key: _encode_structure(item) for key, item in structure.items()}
    return structure


def decode(
    data: bytes | str | None, inputs: Sequence[FileTensor], outputs: Sequence[FileTensor], *, where: object | None = None
) -> IoRecord:
    """The record of an artifact, completed with what the file itself says.

    Args:
        data: the record, or None for a file of another maker: its tensors then are as they are, stacked along the first axis
            that the caller chooses, or axis 0 where the file fixes all.
        inputs: the file's inputs in its order.
        outputs: the file's outputs in its order.
        where: what to name in an error.

    Raises:
        InputError: the record is damaged, or does not fit the file.
    """
    if data is None:
        structure: Structure = 0 if len(outputs) == 1 else tuple(range(len(outputs)))
        return IoRecord(tuple(_plain(t) for t in inputs), tuple(_plain(t) for t in outputs), structure)
    try:
        document = json.loads(data)
        sides = [
            tuple(_decode_tensor(e, t) for e, t in zip(document.get(side, [{}] * len(tensors)), tensors, strict=True))
            for side, tensors in (("inputs", inputs), ("outputs", outputs))
        ]
        return IoRecord(sides[0], sides[1], _decode_structure(document.get("structure", 0), len(outputs)))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(
            f"the file's record of its inputs and outputs ({IO_KEY}) is damaged: {error}",
            where=where,
            hint="build the artifact again",
        ) from error


def _plain(tensor: FileTensor) -> TensorIo:
    free = next((axis for axis, size in enumerate(tensor.shape) if size is None), 0)
    return TensorIo(tensor, batch=free if tensor.shape else None)


def _decode_tensor(entry: dict[str, Any], tensor: FileTensor) -> TensorIo:
    layout, batch, given = entry.get("layout", "source"), entry.get("batch", 0), entry.get("preprocessing")
    if layout not in ("source", "channels_last") or (layout == "channels_last" and len(tensor.shape) < 3):
        raise ValueError(f"layout {layout!r} of a tensor with {len(tensor.shape)} dimensions")
    if batch is not None and not (isinstance(batch, int) and 0 <= batch < max(len(tensor.shape), 1)):
        raise ValueError(f"batch axis {batch!r} of a tensor with {len(tensor.shape)} dimensions")
    preprocessing = None
    if given is not None:
        preprocessing = Preprocessing(
            float(given.get("scale", 1.0)),
            tuple(given.get("mean", ())),
            tuple(given.get("std", ())),
            str(given.get("layout", "")),
            bool(given.get("by_quantization", False)),
        )
    return TensorIo(tensor, layout, batch, preprocessing)


def _decode_structure(node: Any, count: int) -> Structure:
    if node is None:
        return None
    if isinstance(node, dict):
        return {key: _decode_structure(item, count) for key, item in node.items()}
    if isinstance(node, list):
        if node[:1] == ["list"]:
            return [_decode_structure(item, count) for item in node[1:]]
        return tuple(_decode_structure(item, count) for item in node)
    if not isinstance(node, int) or isinstance(node, bool) or not 0 <= node < count:
        raise ValueError(f"output {node!r} of {count}")
    return node
