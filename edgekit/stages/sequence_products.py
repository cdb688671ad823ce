"""Convolutions of one step that become linear layers before they are quantised, so that no reshapes stand around them."""

from __future__ import annotations

from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.pointwise import is_pointwise, linear_for_pointwise
from edgekit.compress.quantize.policy import Policy
from edgekit.config import BuildRequest
from edgekit.ir import Graph, Node, ops
from edgekit.passes import PassRecord
from edgekit.precision import PrecisionPlan
from edgekit.stages.artifact import tflite_options
from edgekit.stages.preprocessing import Prepared
from edgekit.target import Target

#: Its name among the passes of a report.
NAME = "sequence_filters_as_linear"


def linear_along_sequences(
    graph: Graph, prepared: Prepared, target: Target, request: BuildRequest, policy: Policy, plan: PrecisionPlan
) -> tuple[Graph, tuple[PassRecord, ...]]:
    """A copy in which convolutions of one step between layers that hold (N, L, C) are linear layers, and what to report of it.

    Which they are is asked of the layout of the float file. There the exporter itself writes them as products; integers
    are rounded otherwise by FULLY_CONNECTED than by a convolution, so the graph must say beforehand which of the two it is.
    They stay convolutions where that would cost something: a scale for each channel, where linear layers have one for all;
    4-bit weights, whose kernels for linear layers are slower on some cores (docs/precisions.md); float activations beside
    integer weights, where a scale for each channel makes three operators of a linear layer; and in networks of signs, whose
    layers join with the signs behind them.

    Args:
        graph: in float, after the exact passes.
        prepared: what it was made of.
        target: what the file is for.
        request: how the file is to be.
        policy: of the target's runtime.
        plan: the precisions that are asked for.
    """
    if target.exporter != "tflite" or target.runtime not in ("litert", "tflite-micro"):
        return graph, ()
    filters = [node for node in graph.nodes if isinstance(node.op, ops.Conv1d) and is_pointwise(node)]
    signs = any(isinstance(node.op, ops.BinarySign) for node in graph.nodes)
    if not filters or signs or policy.per_channel != policy.per_channel_linear:
        return graph, ()
    from edgekit.export.tflite.arrangement import sequence_products

    layers, free = Layers(graph, plan, policy), sequence_products(graph, tflite_options(graph, target, request, prepared))

    def wanted(node: Node) -> bool:
        precision = layers.of(node)
        integers = precision.weights == "int8" and precision.activations != "float32"
        return integers and isinstance(node.op, ops.Conv1d) and node.output.name in free

    changed, names = linear_for_pointwise(graph, wanted)
    return (changed, (PassRecord(NAME, len(names)),)) if names else (graph, ())
