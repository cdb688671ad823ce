"""SPACE_TO_BATCH_ND, a convolution, BATCH_TO_SPACE_ND: how TensorFlow writes a dilated convolution.

Every ``block``-th row and column becomes an image of its own, a plain convolution slides over these, and the results are woven
together again. The graph has one convolution with that dilation; what is padded before and cropped behind is its padding.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.formats.tflite.model import Operator
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.constants import constant_of
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes
from edgekit.frontend.tflite.table import Result, lowers

_HINT = "use a dilated convolution, which needs no batch of parts"


@dataclass(frozen=True)
class Spread(Held):
    """An image that the file holds in parts.

    Attributes:
        block: how many parts it has along height and width: the dilation.
        around: padding of the convolution that follows, as (low, high) of height and width; None behind it.
    """

    block: tuple[int, int]
    around: tuple[tuple[int, int], tuple[int, int]] | None


@lowers(Op.SPACE_TO_BATCH_ND)
def space_to_batch(ctx: Lowering, input: Held, block_shape: Held | Sizes, paddings: Held | Sizes) -> Result:
    """Remembers what is to come."""
    block, pads = ctx.ints(block_shape, "a block"), ctx.ints(paddings, "paddings")
    weave = _weaving(ctx)
    if input.rank != 4 or len(block) != 2 or len(pads) != 4 or weave is None or min(*block, *pads, 1) < 0:
        raise ctx.refused("'SPACE_TO_BATCH_ND' that is not followed by a convolution and its inverse", _HINT)
    crops = [int(n) for n in constant_of(ctx.tensors[weave.inputs[2]])[0].reshape(-1).tolist()]
    rest = [pad - crop for pad, crop in zip(pads, crops, strict=True)]
    if min(rest) < 0:
        raise ctx.refused("'BATCH_TO_SPACE_ND' that crops more than was padded", _HINT)
    return Spread(input.value, input.order, (block[0], block[1]), ((rest[0], rest[1]), (rest[2], rest[3])))


def _weaving(ctx: Lowering) -> Operator | None:
    """The BATCH_TO_SPACE_ND behind the one convolution that reads the parts, if its crops are known."""
    tensor = ctx.operator.outputs[0]
    for code in ((Op.CONV_2D, Op.DEPTHWISE_CONV_2D), (Op.BATCH_TO_SPACE_ND,)):
        readers = [operator for operator in ctx.subgraph.operators if tensor in operator.inputs]
        if (
            tensor in ctx.subgraph.outputs
            or len(readers) != 1
            or readers[0].code not in code
            or readers[0].inputs[0] != tensor
            or not readers[0].outputs
        ):
            return None
        last, tensor = readers[0], readers[0].outputs[0]
    return last if len(last.inputs) == 3 and last.inputs[2] >= 0 and ctx.tensors[last.inputs[2]].data is not None else None


@lowers(Op.BATCH_TO_SPACE_ND)
def batch_to_space(ctx: Lowering, input: Held, block_shape: Held | Sizes, crops: Held | Sizes) -> Result:
    """Nothing is left to do behind a convolution that was given the dilation."""
    if not isinstance(input, Spread) or tuple(ctx.ints(block_shape, "a block")) != input.block:
        raise ctx.refused("'BATCH_TO_SPACE_ND' that does not follow a convolution of its inverse", _HINT)
    return Held(input.value, input.order)
