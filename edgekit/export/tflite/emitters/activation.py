"""Activations that are operators of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from edgekit.errors import Unsupported
from edgekit.export.tflite.constants import arrange, values_of
from edgekit.export.tflite.element_types import to_numpy
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options, OptionValue
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.ir import ops
from edgekit.ir.ops.base import Op as GraphOp
from edgekit.ir.quantized_data import quantize

_PLAIN: dict[type[GraphOp], tuple[Op, str | None]] = {
    ops.Relu: (Op.RELU, None),
    ops.Relu6: (Op.RELU6, None),
    ops.Sigmoid: (Op.LOGISTIC, None),
    ops.Tanh: (Op.TANH, None),
    ops.Hardswish: (Op.HARD_SWISH, "HardSwishOptions"),
}

#: Clamps that have an operator of their own; TFLite Micro lacks the one with a bound below zero, 16 bits have it nowhere.
_CLAMPS: dict[tuple[float | None, float | None], Op] = {
    (0.0, None): Op.RELU,
    (0.0, 6.0): Op.RELU6,
    (-1.0, 1.0): Op.RELU_N1_TO_1,
}


@emits(*_PLAIN)
def plain(site: Site, op: GraphOp) -> None:
    """One operator without attributes."""
    code, table = _PLAIN[type(op)]
    if isinstance(op, ops.Relu | ops.Relu6) and not site.node.output.type.is_float:
        clamp(site, ops.Clamp(0.0, 6.0 if isinstance(op, ops.Relu6) else None))
        return
    site.write(code, [site.read()], options=None if table is None else Options(table))


@emits(ops.Clamp)
def clamp(site: Site, op: ops.Clamp) -> None:
    """An operator of the RELU family, or MAXIMUM and MINIMUM; a bound outside the range of the integers needs none."""
    x, quant = site.read(), site.node.input(0).quant
    lacks = site.to.micro or (quant is not None and quant.dtype == "int16")
    if (op.low, op.high) in _CLAMPS and site.node.output.type.is_float and not (lacks and op.low):
        site.write(_CLAMPS[op.low, op.high], [x])
        return
    bounds = [(Op.MAXIMUM, op.low), (Op.MINIMUM, op.high)]
    if quant is not None:
        low, high = quant.range
        bounds = [(code, b) for code, b in bounds if b is not None and not (b <= low if code == Op.MAXIMUM else b >= high)]
    written = [(code, bound) for code, bound in bounds if bound is not None]
    if not written:
        site.alias(x)
        return
    out = site.give()
    for place, (code, bound) in enumerate(written):
        number = torch.tensor(bound, dtype=site.node.input(0).type.dtype)
        constant = site.to.array(to_numpy(number if quant is None else quantize(number, quant)), quant)
        result = out if place == len(written) - 1 else site.new_like(out, site.sheet.tensors[out].shape)
        site.write(code, [x, constant], [result], Options("MaximumMinimumOptions"))
        x = result


@emits(ops.LeakyRelu)
def leaky_relu(site: Site, op: ops.LeakyRelu) -> None:
    """LEAKY_RELU."""
    site.write(Op.LEAKY_RELU, [site.read()], options=Options("LeakyReluOptions", {"alpha": op.slope}))


@emits(ops.Prelu)
def prelu(site: Site, op: ops.Prelu) -> None:
    """PRELU: the slopes broadcast against the input, so they are given the channel's place.

    One slope for all channels is LEAKY_RELU; in integers it is repeated, because older kernels read one per channel.
    """
    weight = site.node.input(1)
    if not weight.is_constant:
        raise Unsupported("PReLU with slopes that the model computes", hint="make the slopes parameters")
    slopes, rank = values_of(weight), len(site.form.shape)
    if slopes.size == 1 and weight.quant is None:
        alpha = float(slopes.reshape(-1)[0])
        site.write(Op.LEAKY_RELU, [site.read()], options=Options("LeakyReluOptions", {"alpha": alpha}))
        return
    spread = np.broadcast_to(slopes.reshape(-1), (site.form.shape[1],)).reshape((-1, *[1] * (rank - 2)))
    arranged = arrange(spread, site.form)
    # The kernel of TFLite Micro, and older ones, take the slopes with all dimensions but the batch.
    arranged = arranged.reshape((*[1] * (len(site.form.physical) - 1 - arranged.ndim), *arranged.shape))
    quant = weight.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=arranged.ndim - 1)
    constant = site.to.array(arranged, quant)
    if quant is not None and not site.is_integer:
        constant = site.to.dequantized(constant)
    site.write(Op.PRELU, [site.read(), constant])


@emits(ops.Elu)
def elu(site: Site, op: ops.Elu) -> None:
    """ELU with alpha 1; `legalize` has written the others with it."""
    site.write(Op.ELU, [site.read()])


@emits(ops.Gelu)
def gelu(site: Site, op: ops.Gelu) -> None:
    """GELU, exact or by tanh."""
    fields: dict[str, OptionValue] = {"approximate": True} if op.approximate == "tanh" else {}
    site.write(Op.GELU, [site.read()], options=Options("GeluOptions", fields))


@emits(ops.Softmax, ops.LogSoftmax)
def softmax(site: Site, op: ops.Softmax | ops.LogSoftmax) -> None:
    """Along the last physical axis: the form was chosen so that it is the node's."""
    if isinstance(op, ops.Softmax):
        site.write(Op.SOFTMAX, [site.read()], options=Options("SoftmaxOptions", {"beta": float(np.float32(1))}))
    else:
        site.write(Op.LOG_SOFTMAX, [site.read()], options=Options("LogSoftmaxOptions"))
