"""FULLY_CONNECTED and BATCH_MATMUL."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from edgekit.export.tflite.constants import order_along, values_of
from edgekit.export.tflite.element_types import quantization, tensor_type
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.fused import FUSED
from edgekit.export.tflite.emitters.weights import Array, constant_weight, put_bias, put_weight, reordered
from edgekit.export.tflite.layout.form import source
from edgekit.export.tflite.registry import emits
from edgekit.export.tflite.sheet import Sheet
from edgekit.formats.tflite.model import Options, OptionValue
from edgekit.formats.tflite.schema_generated import BuiltinOperator
from edgekit.ir import QuantParams, ops


@emits(ops.Linear)
def linear(site: Site, op: ops.Linear) -> None:
    """A product over the last axis; with float activations and integer weights the kernel quantises them itself."""
    constant_weight(site)
    quant, axis = site.node.input(1).quant, len(site.form.shape) - 1
    if quant is None or site.is_integer:
        product(site, values_of(site.node.input(1)), axis, op.activation)
        return
    x, read, give = site.read(), order_along(site.input_form(0), axis), order_along(site.form, axis)
    bias = site.node.optional(2)
    values = None if bias is None else values_of(bias)[give]
    weight = values_of(site.node.input(1))[give][:, read]
    hybrid(site.sheet, x, weight, cast(QuantParams, reordered(quant, give)), values, site.give(), op.activation)


def product(site: Site, weight: Array, axis: int, activation: str) -> None:
    """FULLY_CONNECTED with the weight (O, I) over ``axis``, which stands last in what is read and written.

    The kernel flattens its input itself, in any order: the weight's columns are reordered, and its rows.
    """
    x = site.read()
    read, give = order_along(site.input_form(0), axis), order_along(site.form, axis)
    out = site.give()
    filters = put_weight(site, weight[give][:, read], give, 0)
    # Without a bias none is stored, except where the activations are integers: its scale selects the fast kernels.
    without = site.node.optional(2) is None and not site.is_integer
    tensor = -1 if without else put_bias(site, weight.shape[0], give)
    write(site.sheet, x, filters, tensor, out, activation)


def write(
    sheet: Sheet, x: int, weight: int, bias: int, out: int, activation: str = "none", *, asymmetric: bool = False
) -> None:
    """FULLY_CONNECTED. An output of more than two dimensions keeps those of the input but the last."""
    options: dict[str, OptionValue] = {"fused_activation_function": FUSED[activation]}
    if len(sheet.tensors[out].shape) > 2:
        options["keep_num_dims"] = True
    if asymmetric:
        options["asymmetric_quantize_inputs"] = True
    sheet.operator(BuiltinOperator.FULLY_CONNECTED, [x, weight, bias], [out], Options("FullyConnectedOptions", options))


def hybrid(
    sheet: Sheet,
    x: int,
    weight: Array,
    quant: QuantParams,
    bias: Array | None,
    out: int,
    activation: str = "none",
) -> None:
    """A product of float activations, which the kernel quantises row by row, with integer weights.

    The kernel has one scale for all rows of the weight until version 12, which runtimes before 2.17 lack. Scales per
    channel therefore stand behind it: y = (x @ integers * s) * (scales / s) + bias.
    """
    kind = tensor_type(torch.int8, quant)
    if quant.axis is None:
        tensor = -1 if bias is None else sheet.constant(bias)
        write(sheet, x, sheet.constant(weight, quantization(quant), type=kind), tensor, out, activation, asymmetric=True)
        return
    scales = np.array(quant.scale, np.float32)
    one = QuantParams(quant.dtype, (float(scales.max()),), (0,), None, quant.narrow)
    shape = sheet.tensors[out].shape
    product = sheet.activation(shape, sheet.tensors[out].type)
    write(sheet, x, sheet.constant(weight, quantization(one), type=kind), -1, product, asymmetric=True)
    factors = sheet.constant(scales / np.float32(one.scale[0]))
    fused = {"fused_activation_function": FUSED[activation]}
    scaled = out if bias is None else sheet.activation(shape, sheet.tensors[out].type)
    table = Options("MulOptions", {**fused} if bias is None else {})
    sheet.operator(BuiltinOperator.MUL, [product, factors], [scaled], table)
    if bias is not None:
        sheet.operator(BuiltinOperator.ADD, [scaled, sheet.constant(bias)], [out], Options("AddOptions", {**fused}))


@emits(ops.Matmul)
def matmul(site: Site, op: ops.Matmul) -> None:
    """The second factor transposed where the op says so or where it stands so in the file, but not both."""
    b = site.node.input(1)
    stands_swapped = not b.is_constant and site.input_form(1) != source(site.shape(1))
    options: dict[str, OptionValue] = {"adj_y": True} if op.transpose_b != stands_swapped else {}
    factors = [site.read(0), site.read(1)]
    if not site.is_integer:
        factors = [
            site.to.dequantized(tensor) if value is not None and value.is_constant and value.quant is not None else tensor
            for tensor, value in zip(factors, site.node.inputs, strict=True)
        ]
    site.write(BuiltinOperator.BATCH_MATMUL, factors, options=Options("BatchMatMulOptions", options))
