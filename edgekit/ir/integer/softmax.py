"""SOFTMAX."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.ir.integer.activation_range import require
from edgekit.ir.integer.fixed_point import divide_by_power_of_two, high_multiply, quantize_multiplier
from edgekit.ir.integer.gemmlowp import exp_on_negative, leading_zeros, multiply, one_over_one_plus
from edgekit.ir.quant import QuantParams

#: The output that the runtime's kernels demand: [0, 255/256] in int8.
SOFTMAX_OUTPUT = QuantParams("int8", (1.0 / 256.0,), (-128,))

#: 512 in Q12.19: from here on the exponent of the reciprocal exceeds 31, for which the kernel checks.
_LARGEST_SUM = 512 << 19


def softmax(
    x: torch.Tensor, axis: int, input_quant: QuantParams, output_quant: QuantParams = SOFTMAX_OUTPUT, *, beta: float = 1.0
) -> torch.Tensor:
    """``exp(beta * x) / sum(exp(beta * x))`` along ``axis`` in 32-bit fixed point.

    The exponentials of the 256 possible differences from the largest value come from a table. LiteRT's reference kernel
    aborts the process where their sum (relative to the largest) reaches 512, which takes an axis of 512 elements or more;
    that is refused here.

    Args:
        x: int8, any shape.
        axis: along which the result sums to one.
        input_quant: int8 per tensor.
        output_quant: scale 1/256 and zero point -128, nothing else.
        beta: factor of the exponent.

    Raises:
        Unsupported: types other than int8, another output scale, or a sum that would abort the runtime.
    """
    require("softmax", input_quant, output_quant)
    if output_quant.scale[0] != 1.0 / 256.0 or output_quant.zero_point[0] != -128:
        raise Unsupported(
            f"an int8 softmax has output scale 1/256 and zero point -128, not {output_quant}",
            hint="calibrate the graph for a TFLite target, which fixes this scale",
        )
    multiplier, left_shift = quantize_multiplier(min(beta * input_quant.scale[0] * (1 << 26), 2.0**31 - 1.0))
    # The largest difference whose product with the multiplier still fits.
    lowest = -int(31.0 * (1 << 26) / (1 << left_shift))
    differences = torch.arange(-255, 1)
    kept = differences >= lowest
    scaled = high_multiply(torch.where(kept, differences, 0) << left_shift, multiplier)
    exponentials = exp_on_negative(scaled)
    in_q12 = torch.where(kept, divide_by_power_of_two(exponentials, 12), 0)

    rows = x.movedim(axis, -1)
    index = (rows.to(torch.int64) - rows.amax(-1, keepdim=True).to(torch.int64)) + 255
    sums = in_q12[index].sum(-1, keepdim=True)
    if bool((sums >= _LARGEST_SUM).any()):
        raise Unsupported(
            f"an int8 softmax over {x.shape[axis]} elements of almost equal size: the runtime's reference kernel would abort",
            hint="leave the softmax in float",
        )
    headroom = leading_zeros(sums)
    reciprocal = one_over_one_plus((sums << headroom) - (1 << 31))
    exponent = 12 - headroom + 31 - 8
    y = divide_by_power_of_two(multiply(reciprocal, exponentials[index]), exponent) - 128
    y = torch.where(kept[index], y.clamp(-128, 127), -128)
    return y.to(torch.int8).movedim(-1, axis)
