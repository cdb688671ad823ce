"""What a model file or a graph holds, in one form for all formats: its ops, tensors, costs and bytes, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: A dimension: a size, a name (``"N"``, ``"16*N"``, ONNX's dim_param), or None for one that is free and has no name.
Dimension = int | str | None


@dataclass(frozen=True)
class TensorInfo:
    """An input, an output or a constant.

    Attributes:
        name: in the file's signature where there is one, else the tensor's own.
        shape: in the file's order of axes.
        dtype: numpy's name of the stored type (``"int8"``), or ``"int4"``, ``"bfloat16"``, ``"string"`` ... where numpy has
            none.
        scale: ``real = scale * (stored - zero_point)``; None where the tensor is not quantised, the first of several scales.
        zero_point: of the first scale.
        scales: how many scales there are (above 1: per channel).
    """

    name: str
    shape: tuple[Dimension, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0
    scales: int = 0


@dataclass(frozen=True)
class OpInfo:
    """One op.

    Attributes:
        kind: the format's own name (``CONV_2D``, ``Conv``, ``conv2d``).
        name: the name of its first output; may be empty in a file.
        shapes: of its outputs.
        dtype: of its first output.
        macs: multiply-accumulates of one sample; None where a shape is not known.
        parameters: elements of the constants that it reads (a constant shared by two ops counts in both).
        weight_bytes: bytes of these constants as stored.
        attributes: what is worth saying in a few words: ``"3x3 stride 2, relu"``.
        where: place in the user's source; empty where the file does not know.
    """

    kind: str
    name: str
    shapes: tuple[tuple[Dimension, ...], ...]
    dtype: str
    macs: int | None = 0
    parameters: int = 0
    weight_bytes: int = 0
    attributes: str = ""
    where: str = ""


@dataclass(frozen=True)
class SizeBreakdown:
    """Where the bytes of a file go; the four add up to its size.

    Attributes:
        weights: elements of constants.
        quantization: scales and zero points (in ONNX: the initializers that QuantizeLinear and DequantizeLinear read as such).
        metadata: signatures, descriptions, records of inputs and outputs, producer.
        structure: all else: ops, tensors, shapes, names, tables and padding.
    """

    weights: int
    quantization: int
    metadata: int
    structure: int

    @property
    def total(self) -> int:
        """The file's size."""
        return self.weights + self.quantization + self.metadata + self.structure


@dataclass(frozen=True)
class Description:
    """A model file or a graph.

    Attributes:
        name: the file's name or the graph's.
        format: which kind of model.
        inputs, outputs: in the file's order.
        ops: in the order in which they run.
        parameters: elements of all distinct float or quantised constants.
        weight_bytes: bytes of all distinct constants as stored.
        macs: multiply-accumulates of one sample; None where those of an op are not known.
        peak_memory_bytes: largest sum of the activations that are alive at once, batch 1: below it no arena can be. None
            where a shape is not known.
        file_bytes: the file's size; None for a graph.
        sizes: where the file's bytes go.
        metadata: what the file says about itself.
        edges: which op reads what: (from, to). Numbers from 0 are ops; -1, -2 ... are the inputs; numbers behind the last op
            are the outputs.
    """

    name: str
    format: Literal["graph", "tflite", "onnx"]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ops: tuple[OpInfo, ...]
    parameters: int
    weight_bytes: int
    macs: int | None
    peak_memory_bytes: int | None = None
    file_bytes: int | None = None
    sizes: SizeBreakdown | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    edges: tuple[tuple[int, int], ...] = ()

    @property
    def operators(self) -> dict[str, int]:
        """How many ops there are of each kind, most frequent first."""
        counts: dict[str, int] = {}
        for op in self.ops:
            counts[op.kind] = counts.get(op.kind, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def as_dict(self) -> dict[str, Any]:
        """The content of ``edgekit inspect --json`` (``edgekit.inspect/1``)."""
        return {"schema": "edgekit.inspect/1", **asdict(self), "operators": self.operators}


def total_macs(ops: Sequence[OpInfo]) -> int | None:
    """Of all ops; None where those of one are not known."""
    known = [op.macs for op in ops if op.macs is not None]
    return sum(known) if len(known) == len(ops) else None


def edges(
    steps: Sequence[tuple[Iterable[int], Iterable[int]]], inputs: Iterable[int], outputs: Iterable[int]
) -> tuple[tuple[int, int], ...]:
    """The edges of a ``Description`` from the tensors that each op reads and writes, and those of the model."""
    source = {tensor: -1 - index for index, tensor in enumerate(inputs)}
    found: dict[tuple[int, int], None] = {}
    for index, (reads, writes) in enumerate(steps):
        found.update(((source[tensor], index), None) for tensor in reads if tensor in source)
        source.update((tensor, index) for tensor in writes)
    found.update(((source[t], len(steps) + index), None) for index, t in enumerate(outputs) if t in source)
    return tuple(found)


def peak_memory(
    steps: Sequence[tuple[Iterable[int], Iterable[int]]],
    sizes: Mapping[int, int],
    inputs: Iterable[int],
    outputs: Iterable[int],
) -> int:
    """The largest sum of bytes alive at once while ``steps`` run in their order.

    An input of the model is alive from the start to its last reader, an output of the model to the end, anything else from
    the step that writes it to its last reader; a step's inputs and outputs are alive together.

    Args:
        steps: for each op the tensors that it reads and writes.
        sizes: bytes of each tensor; a tensor that is not listed (a constant) takes none.
        inputs: tensors that are there before the first step.
        outputs: tensors that must be there after the last.
    """
    start = {tensor: 0 for tensor in inputs if tensor in sizes}
    end = dict.fromkeys(start, 0)
    for index, (reads, writes) in enumerate(steps):
        for tensor in writes:
            if tensor in sizes:
                start.setdefault(tensor, index)
                end[tensor] = index
        for tensor in reads:
            if tensor in start:
                end[tensor] = index
    for tensor in outputs:
        if tensor in start:
            end[tensor] = max(len(steps) - 1, 0)
    change = [0] * (max(len(steps), 1) + 1)
    for tensor, first in start.items():
        change[first] += sizes[tensor]
        change[end[tensor] + 1] -= sizes[tensor]
    peak = alive = 0
    for step in change:
        alive += step
        peak = max(peak, alive)
    return peak
