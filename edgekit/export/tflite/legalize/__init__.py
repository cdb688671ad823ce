"""Ops that TFLite lacks, written as ops that it has, before layouts are decided.

Each is a rewrite of the graph, exact up to rounding. Float values only, except where a form in integers needs no scale
that calibration has not seen.
"""

from __future__ import annotations

from edgekit.export.tflite.legalize import (
    activations,
    indices,
    movement,
    normalization,
    pooling,
    products,
    resizing,
    sequences,
    transposed,
)
from edgekit.ir import Graph
from edgekit.passes.base import Pass, run_passes
from edgekit.passes.decompose import DecomposeAttention
from edgekit.passes.fold_scale import FoldScale

#: In an order in which no rewrite makes what an earlier one should have seen.
LEGALIZE: tuple[Pass, ...] = (
    movement.DropDropout(),
    DecomposeAttention(),
    FoldScale(),
    products.VectorMatmul(),
    products.VectorLinear(),
    products.ConstantMatmulToLinear(),
    products.LowerComputedLinear(),
    normalization.LowerLayerNorm(),
    normalization.LowerRmsNorm(),
    normalization.LowerInstanceNorm(),
    normalization.LowerGroupNorm(),
    normalization.LowerBatchNorm(),
    activations.LowerSilu(),
    activations.LowerHardsigmoid(),
    activations.LowerMish(),
    activations.LowerSoftplus(),
    activations.LowerSoftsign(),
    activations.LowerElu(),
    activations.LowerShrink(),
    activations.LowerErf(),
    pooling.LowerDilatedMaxPool(),
    pooling.LowerAveragePool(),
    pooling.LowerAdaptiveAveragePool(),
    pooling.LowerAdaptiveMaxPool(),
    resizing.LowerResize(),
    transposed.LowerDepthwiseTransposedConvolution(),
    movement.LowerRoll(),
    movement.LowerNegativePad(),
    movement.LowerReplicationPad(),
    movement.SkipExpand(),
    movement.MergeSlices(),
    sequences.LastStepOfSequence(),
    indices.ArgmaxInRightType(),
)


def legalize(graph: Graph) -> Graph:
    """A copy of the graph in which every op that has a form in TFLite has an emitter."""
    return run_passes(graph, LEGALIZE)[0]


__all__ = ["LEGALIZE", "legalize"]
