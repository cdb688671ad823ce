"""FULLY_CONNECTED and BATCH_MATMUL."""

from __future__ import annotations

from edgekit.export.tflite.constants import order_along, values_of
from edgekit.export.tflite.emission import Site
from edgekit.export.tflite.emitters.fused import FUSED
from edgekit.export.tflite.emitters.weights import constant_weight, put_bias, put_weight
from edgekit.export.tflite.layout.form import source
from edgekit.export.tflite.registry import emits
from edgekit.formats.tflite.model import Options, OptionValue
from edgekit.formats.tflite.schema_generated import BuiltinOperator
from edgekit.ir import ops


@emits(ops.Linear)
def linear(site: Site, op: ops.Linear) -> None:
    """The kernel flattens its input itself, in any order: the columns of the weight (O, I) are reordered, and its rows."""
    constant_weight(site)
    x, last = site.read(), len(site.form.shape) - 1
    read, give = order_along(site.input_form(0), len(site.shape(0)) - 1), order_along(site.form, last)
    weight = values_of(site.node.input(1))[give][:, read]
    filters = put_weight(site, weight, give, 0)
    # A bias of zeros is not stored, except where the activations are integers: its scale selects the fast kernels.
    no_bias = site.node.optional(2) is None and not site.is_integer
    bias = -1 if no_bias else put_bias(site, weight.shape[0], give)
    options: dict[str, OptionValue] = {"fused_activation_function": FUSED[op.activation]}
    physical = site.form.physical
    if len(physical) > 2:
        options["keep_num_dims"] = True
    if site.node.input(1).quant is not None and not site.is_integer:
        options["asymmetric_quantize_inputs"] = True
    out = site.give()
    result = out if len(physical) != 1 else site.new_like(out, (1, *physical))
    table = Options("FullyConnectedOptions", options)
    site.write(BuiltinOperator.FULLY_CONNECTED, [x, filters, bias], [result], table)
    if result != out:
        site.to.reshape(result, out)


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
