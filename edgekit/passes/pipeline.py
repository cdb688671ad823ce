"""The exact passes in order."""

from __future__ import annotations

from edgekit.passes.base import Pass
from edgekit.passes.binary import NormBeforePool, SignBeforePool
from edgekit.passes.canonicalize import RecognizeActivations
from edgekit.passes.centre_norms import CentreNorms
from edgekit.passes.constant_products import LinearForConstantProduct
from edgekit.passes.decompose import DecomposeAttention
from edgekit.passes.eliminate import (
    EliminateDead,
    EliminateDuplicates,
    EliminateEmptyParts,
    EliminateEmptySplits,
    EliminateIdentity,
    FoldConstants,
)
from edgekit.passes.fold_affine import FoldAffine
from edgekit.passes.fold_batch_norm import FoldBatchNorm, LowerBatchNorm
from edgekit.passes.fold_forward import FoldForward, FoldNormAffine
from edgekit.passes.fold_moved_norm import FoldMovedBatchNorm
from edgekit.passes.fold_scale import FoldScale
from edgekit.passes.fuse_activation import FuseActivation
from edgekit.passes.mask_sum import MaskToSum
from edgekit.passes.merge_pad import MergePad
from edgekit.passes.merge_shapes import MergeShapes
from edgekit.passes.pools import GlobalPoolToMean, MergeMeanReshape
from edgekit.passes.trim_convolution import TrimConvolution

#: What every exporter reads: run before quantisation, so that scales belong to tensors that the exporter sees.
EXACT: tuple[Pass, ...] = (
    EliminateEmptyParts(),
    EliminateEmptySplits(),  # after EliminateEmptyParts, which reads their parts
    EliminateIdentity(),
    FoldConstants(),
    EliminateDuplicates(),
    MergeShapes(),  # before folding: it clears the way between layers
    MergePad(),
    TrimConvolution(),  # after MergePad: what is cut off may be padding of its own op
    NormBeforePool(),  # before FoldBatchNorm, which folds through no pool
    SignBeforePool(),  # after NormBeforePool: a norm may stand between
    LinearForConstantProduct(),  # before FoldBatchNorm and FoldAffine, which fold into linear layers
    FoldBatchNorm(),  # before FuseActivation: it folds through no activation
    FoldMovedBatchNorm(),
    LowerBatchNorm(),  # what both left
    MaskToSum(),  # before FoldAffine: the sum before a mask goes in with it
    FoldAffine(),  # after LowerBatchNorm: a norm behind a product goes in with it
    RecognizeActivations(),  # before FuseActivation, which would hide the relu6 inside a composed hardswish
    FuseActivation(),
    GlobalPoolToMean(),
    MergeMeanReshape(),
    FoldForward(),  # after the others: what they merged may be all that stood before a layer
    FoldConstants(),  # what merging made constant
    EliminateIdentity(),
    EliminateDuplicates(),  # and what it made equal
    EliminateDead(),
)

#: Added before quantisation and for runtimes without fused attention.
DECOMPOSE: tuple[Pass, ...] = (DecomposeAttention(), FoldScale(), FoldConstants())

#: Added for runtimes that have no operator for normalisations, before these are written in parts.
BARE_NORMS: tuple[Pass, ...] = (
    FoldNormAffine(),
    CentreNorms(),  # after FoldNormAffine, which leaves no bias to add behind an RMS norm
)
