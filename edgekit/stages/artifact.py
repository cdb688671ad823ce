"""The lowered graph as a file's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.config import BuildRequest, InputSettings, OutputSettings
from edgekit.ir import Graph
from edgekit.stages.preprocessing import Prepared
from edgekit.target import Target

if TYPE_CHECKING:
    from edgekit.export.tflite.options import TfliteOptions

#: From this opset on QuantizeLinear may name its output's type. ONNX Runtime 1.31 on x86 does so where it moves one through a
#: Transpose, then makes the integers unsigned and not the name, and refuses the file: there they are unsigned from the start.
_NAMES_OUTPUT_TYPES = 21


def export(graph: Graph, target: Target, request: BuildRequest, prepared: Prepared, *, regular: bool = False) -> bytes:
    """The artifact's bytes.

    ``regular``: a TFLite file has its tables where those of networks of other widths have theirs.

    Raises:
        Unsupported: what the target's format or runtime lacks, all of it in one error.
    """
    if target.exporter == "onnx":
        from edgekit.export.onnx import export as export_onnx
        from edgekit.export.onnx import lowest_opset

        half = target.quantization.precision.weights == "float16"
        unsigned = lowest_opset(graph) >= _NAMES_OUTPUT_TYPES
        return export_onnx(graph, preprocessing=prepared.declared, float16=half, unsigned=unsigned)
    from edgekit.export.tflite.exporter import export as export_tflite

    options = tflite_options(graph, target, request, prepared)
    content = export_tflite(graph, options)
    if not regular:
        return content
    from edgekit.formats.tflite.read import read
    from edgekit.formats.tflite.write import write

    return write(read(content), regular=True)


def tflite_options(graph: Graph, target: Target, request: BuildRequest, prepared: Prepared) -> TfliteOptions:
    """How a graph's TFLite file is written."""
    from edgekit.export.tflite.options import TfliteOptions

    given: list[tuple[str, InputSettings | OutputSettings]] = [*request.inputs.items(), *request.outputs.items()]
    # Verification exports graphs that end before a final softmax or sigmoid: what is set for that output is not theirs.
    known = {value.name for value in (*graph.inputs, *graph.outputs)}
    layouts = {name: settings.io_layout for name, settings in given if settings.io_layout is not None and name in known}
    return TfliteOptions.for_target(
        target, batch=request.batch or 1, layout=request.io_layout, layouts=layouts, preprocessing=prepared.declared
    )
