"""Integers of weights around a zero point, in the form that kernels of today take.

TensorFlow until 2019 and some quantisers of ONNX files store weights as unsigned bytes around a zero point. Kernels for signed
bytes want weights around zero, so their integers are chosen anew: symmetric, a scale for each output channel of a convolution
(Nagel et al. 2021, arXiv:2106.08295, section 2.3). The real numbers stay those of the file.
"""

from __future__ import annotations

from edgekit.ir import Graph, QuantParams, Value

_NOTE = (
    "the file has unsigned weights around a zero point, which kernels for signed bytes do not take: the float values are the "
    "file's, their integers are chosen anew (symmetric, a scale for each channel of a convolution)"
)


def choose_anew(graph: Graph, weight: Value, axis: int | None) -> None:
    """Gives a weight symmetric parameters, with a scale for each index along ``axis``, and says so in a note."""
    data = weight.tensor.detach()
    if axis is None:
        largest = data.abs().max().reshape(1)
    else:
        largest = data.abs().amax([other for other in range(data.dim()) if other != axis])
    scales = tuple(max(float(size) / 127, 1e-8) for size in largest)
    weight.quant = QuantParams("int8", scales, (0,) * len(scales), axis, narrow=True)
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
