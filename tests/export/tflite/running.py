"""Graphs written as TFLite files and run, against the graph's own torch functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import Kernels
from tests.export.onnx.one_op import reference, samples

#: Operators that LiteRT's reference kernels lack.
WITHOUT_REFERENCE = frozenset({"ELU", "CEIL", "ROUND"})


def op_counts(file: bytes) -> dict[str, int]:
    """Operators of the main subgraph."""
    return read(file).op_counts()


def run(artifact: Artifact, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs in the source's layout, in the graph's order."""
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in artifact.run_flat(tuple(x.numpy() for x in inputs))]


def assert_close(got: Sequence[torch.Tensor], want: Sequence[torch.Tensor], tolerance: float) -> None:
    """The bound is relative to an output's largest finite element; integers and bools are equal."""
    assert len(got) == len(want)
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if not theirs.is_floating_point():
            assert torch.equal(ours, theirs)
            continue
        finite = theirs[torch.isfinite(theirs)]
        size = float(finite.abs().max()) if finite.numel() else 1.0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(size, 1e-6), equal_nan=True)


def assert_equal_to_torch(graph: Graph, options: TfliteOptions | None = None, *, tolerance: float = 1e-5) -> bytes:
    """The file gives torch's numbers in LiteRT's default and reference kernels, call after call. Returns the file."""
    options = options or TfliteOptions()
    file = export(graph, options)
    for kernels in kernels_for(file):
        artifact = Artifact(file, kernels=kernels)
        for seed in range(3):
            inputs = samples(graph, options.batch, seed)
            assert_close(run(artifact, inputs), reference(graph, inputs), tolerance)
    return file


def kernels_for(file: bytes) -> tuple[Kernels, ...]:
    """LiteRT's kernels that have all operators of the file."""
    return ("default",) if WITHOUT_REFERENCE & set(op_counts(file)) else ("default", "reference")
