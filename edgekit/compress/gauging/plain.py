"""The file of a candidate outside a build, where no target says what it is to be."""

from __future__ import annotations

from pathlib import Path

from edgekit.compress.gauging.candidate import CandidateFile
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.compress.rewriting.patches import inputs_of
from edgekit.data import Data
from edgekit.ir import Graph
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS

#: Samples that ranges are taken of: enough for a file whose kernels are counted and whose answers nobody reads.
SAMPLES = 16


class PlainFile:
    """An int8 TFLite file where there is data to calibrate it with, a float32 one otherwise."""

    def __init__(self, graph: Graph, data: object | None, root: Path | None) -> None:
        """A maker for graphs with the inputs of one graph.

        Args:
            graph: whose inputs the data is for.
            data: an ``edgekit.Data``, or anything that its fields may be.
            root: folder that callables are imported from.

        Raises:
            InputError: the data does not fit the inputs.
        """
        source = Data(calibration=data.calibration) if isinstance(data, Data) and data.calibration is not None else data
        found = inputs_of(graph, source, needed=False, root=root)
        fixed = not graph.inputs[0].type.has_batch
        self._batches = [batch if fixed else [tensor[:SAMPLES] for tensor in batch] for batch in found[:1]]
        self.identity = "int8" if self._batches else "float32"

    def __call__(self, graph: Graph) -> CandidateFile:
        """The file of a graph."""
        from edgekit.export.tflite.exporter import export
        from edgekit.export.tflite.options import TfliteOptions

        if self._batches:
            exact, _ = run_passes(graph, (*EXACT, *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))
            lowered, _ = quantize(exact, self._batches, options=PostTraining(observer="min_max", bias_correction=False))
        else:
            lowered, _ = run_passes(graph, EXACT)
        return CandidateFile(export(lowered, TfliteOptions()), ".tflite", f"{self.identity} TFLite")
