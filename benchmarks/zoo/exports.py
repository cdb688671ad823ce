"""One network as four files, each run in its runtime and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import edgekit as ek
from benchmarks.zoo.common import ARCHITECTURES
from benchmarks.zoo.weights import as_if_trained, inputs_of
from edgekit import metrics
from edgekit.config import BuildRequest
from edgekit.errors import InputError
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.ir import Graph, simulate
from edgekit.runtime.artifact import Artifact
from edgekit.stages.artifact import export
from edgekit.stages.feeding import batches
from edgekit.stages.inputs import settings_of
from edgekit.stages.io_types import io_types
from edgekit.stages.precision import lower
from edgekit.stages.preprocessing import prepare

Array = NDArray[Any]

#: Signal-to-noise ratio of equal outputs, dB: JSON has no infinity.
EQUAL = 200.0

TARGETS = ("tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8")
EXAMPLE, CALIBRATION, COMPARED = 64, 64, 16


@dataclass(frozen=True)
class Export:
    """One file of one network.

    Attributes:
        network: its name in the table of architectures.
        target: what the file is for.
        bytes: of the file.
        ops: operators by kind.
        relative_error: of a float file: largest difference from the source, relative to the largest output.
        sqnr_kernels: of an integer file, in the runtime's default kernels, against the integer simulation, dB; ``EQUAL`` where
            no number differs.
        sqnr_reference: likewise in LiteRT's reference kernels.
        sqnr_source: of an integer file against the source in float, dB; weights are random.
    """

    network: str
    target: str
    bytes: int
    ops: Mapping[str, int]
    relative_error: float | None = None
    sqnr_kernels: float | None = None
    sqnr_reference: float | None = None
    sqnr_source: float | None = None

    def count(self, *kinds: str) -> int:
        """Operators of these kinds."""
        return sum(self.ops.get(kind, 0) for kind in kinds)


class Network:
    """A network of the table with weights as if trained, its graph, and inputs."""

    def __init__(self, name: str, full: bool = False) -> None:
        architecture = ARCHITECTURES[name]
        torch.manual_seed(0)
        model = architecture.full() if full else architecture.small()
        self.name = name
        self.model = as_if_trained(model, inputs_of(architecture, full, EXAMPLE, 5), 2)
        self.graph = load(self.model, inputs_of(architecture, full, 1, 1))
        self.calibration = [x.numpy() for x in inputs_of(architecture, full, CALIBRATION, 3)]
        self.compared = [x.numpy() for x in inputs_of(architecture, full, COMPARED, 4)]

    def export(self, target_name: str) -> tuple[bytes, Graph]:
        """A file's bytes, and the graph that was written."""
        target = ek.Target.load(target_name)
        request = BuildRequest(model=self.name, root=Path.cwd(), targets=(target.name,), output=Path.cwd())
        settings = settings_of(self.graph, {})
        types = io_types(self.graph, target, request, settings)
        prepared = prepare(self.graph, settings, bytes_in=())
        samples = batches(prepared.taken(self.calibration), prepared.graph)
        lowered = lower(prepared, target, samples, request, types)
        return export(lowered.graph, target, request, prepared), lowered.graph

    def measure(self, target: str) -> Export:
        """Export, run and compare."""
        data, lowered = self.export(target)
        file = Artifact(data)
        with torch.no_grad():
            wanted = _leaves(self.model(*[torch.from_numpy(x) for x in self.compared]))
        got = file.run_flat(self.compared)
        size, ops = len(data), operators(data)
        if not target.endswith("int8"):
            return Export(self.name, target, size, ops, relative_error=max(map(_relative, wanted, got)))
        integers = _simulated(lowered, self.compared)
        reference = None
        if target.startswith("tflite"):
            reference = _worst(integers, _reference(data).run_flat(self.compared))
        return Export(self.name, target, size, ops, None, _worst(integers, got), reference, _worst(wanted, got))


def operators(data: bytes) -> dict[str, int]:
    """Operators by kind, of all subgraphs of a TFLite file or of the graph of an ONNX file."""
    if data[4:8] == b"TFL3":
        return dict(read(data).op_counts())
    import onnx

    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _reference(data: bytes) -> Artifact:
    try:
        return Artifact(data, kernels="reference")
    except InputError:  # a few ops of a file have optimised kernels only
        return Artifact(data, kernels="builtin")


def _simulated(graph: Graph, inputs: list[Array]) -> list[Array]:
    flat = graph.copy()
    flat.signature = None  # outputs as a plain tuple
    return _leaves(simulate(flat, *[torch.from_numpy(x) for x in inputs]))


def _leaves(result: Any) -> list[Array]:
    return [leaf.float().numpy() for leaf in torch.utils._pytree.tree_leaves(result)]


def _relative(wanted: Array, got: Array) -> float:
    return float(np.abs(wanted - got).max() / np.abs(wanted).max())


def _worst(wanted: list[Array], got: list[Array]) -> float:
    return min(EQUAL, *(metrics.sqnr_db(a, b) for a, b in zip(wanted, got, strict=True)))
