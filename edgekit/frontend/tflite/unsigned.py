"""Unsigned weights of old files, in integers that kernels of today take.

Until 2019 TensorFlow quantised weights to 8 unsigned bits around a zero point. Kernels for signed bytes want weights around
zero, so their integers are chosen anew: symmetric, a scale for each output channel of a convolution (Nagel et al. 2021,
arXiv:2106.08295, section 2.3). The real numbers stay those of the file.
"""

from __future__ import annotations

from edgekit.ir import Graph, Value
from edgekit.ir.quant import QuantParams

_NOTE = (
    "the file has unsigned weights around a zero point, which kernels for signed bytes do not take: the float values are the "
    "file's, their integers are chosen anew (symmetric, a scale for each channel of a convolution)"
)


def signed(graph: Graph, weight: Value, axis: int) -> None:
    """Gives a weight with unsigned parameters signed ones; ``axis`` is where a convolution's output channels stand."""
    if weight.quant is None or weight.quant.dtype != "uint8":
        return
    data = weight.tensor.detach()
    if data.dim() == 4:
        largest = data.abs().amax([a for a in range(4) if a != axis])
    else:
        largest, axis = data.abs().max().reshape(1), -1
    scales = tuple(max(float(size) / 127, 1e-8) for size in largest)
    weight.quant = QuantParams("int8", scales, (0,) * len(scales), axis if axis >= 0 else None, narrow=True)
    if _NOTE not in graph.notes:
        graph.notes.append(_NOTE)


def match_bias(x: Value, weight: Value, bias: Value | None) -> None:
    """Gives a bias the scale that the sums of products have, where the weight's scales are new."""
    if bias is None or bias.quant is None or x.quant is None or weight.quant is None:
        return
    wanted = tuple(x.quant.scale[0] * scale for scale in weight.quant.scale)
    given = bias.quant.scale * (len(wanted) // len(bias.quant.scale))
    if len(given) != len(wanted) or any(abs(a - b) > 1e-3 * b for a, b in zip(given, wanted, strict=True)):
        axis = 0 if len(wanted) > 1 or weight.quant.per_channel else None
        bias.quant = QuantParams(bias.quant.dtype, wanted, (0,) * len(wanted), axis)
