"""What a layer costs in each precision, from counts in the real runtime (``benchmarks/layer_costs.py``).

The figures are ARM64 instructions a multiply-accumulate in LiteRT 2.3 on an emulated Cortex-A53, without dot-product
instructions, and Cortex-A76, with them. Instructions are no time: caches and pipelines are not in them. On x86 4-bit
convolutions and everything with 16-bit activations are left to plain loops, 20 and some hundred times slower than int8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.compress.quantize.weight_kernels import kind_of
from edgekit.ir import Node, ops
from edgekit.ir.quant import RANGES
from edgekit.precision import Precision

#: The cores that the figures are of, in their order.
CORES = ("cortex-a53", "cortex-a76")

FLOAT = Precision("float32", "float32")
INT8 = Precision("int8", "int8")
W4A8 = Precision("int4", "int8")
INT16 = Precision("int8", "int16")
DYNAMIC = Precision("int8", "float32")
DYNAMIC4 = Precision("int4", "float32")

#: Kind of layer -> precision -> instructions a MAC on each core.
PER_MAC: Mapping[str, Mapping[Precision, tuple[float, float]]] = {
    "convolution": {
        FLOAT: (0.5476, 0.3484),
        INT8: (0.3813, 0.0973),
        W4A8: (0.3942, 0.1444),
        INT16: (5.709, 5.709),
        DYNAMIC: (0.3537, 0.106),
        DYNAMIC4: (0.4151, 0.1688),
    },
    "pointwise": {
        FLOAT: (0.5589, 0.352),
        INT8: (0.4011, 0.1153),
        W4A8: (0.5089, 0.1728),
        INT16: (6.9155, 6.9155),
        DYNAMIC: (0.4367, 0.2413),
        DYNAMIC4: (0.594, 0.2741),
    },
    "depthwise": {
        FLOAT: (1.8413, 0.9467),
        INT8: (0.8125, 0.8125),
        W4A8: (0.7177, 0.7177),
        INT16: (24.5909, 24.5909),
        DYNAMIC: (1.1663, 1.1663),
    },
    "linear": {
        FLOAT: (0.6692, 0.4825),
        INT8: (0.512, 0.1604),
        W4A8: (0.6572, 0.196),
        INT16: (1.7378, 1.7378),
        DYNAMIC: (0.548, 0.2258),
        DYNAMIC4: (0.6178, 0.2565),
    },
    "rows": {
        FLOAT: (0.5589, 0.352),
        INT8: (0.4011, 0.1153),
        W4A8: (1.4588, 0.1273),
        INT16: (2.3519, 2.3519),
        DYNAMIC: (0.4775, 0.2822),
        DYNAMIC4: (0.6294, 0.2849),
    },
    "transposed": {
        FLOAT: (0.8592, 0.7249),
        INT8: (0.6878, 0.2752),
        INT16: (8.7559, 8.7559),
        DYNAMIC: (0.8592, 0.7249),
    },
}

#: Layers whose 4-bit weights are left to plain loops on x86-64, 20 times slower than int8 (docs/precisions.md).
PLAIN_ON_X86 = frozenset({"convolution", "grouped", "depthwise"})


@dataclass(frozen=True)
class Price:
    """What one layer costs.

    ``bytes``: of its weight, bias and scales in the file. ``instructions``: of one sample on each of ``CORES``; None where the
    runtime's costs were not counted.
    """

    bytes: int
    instructions: tuple[float, float] | None = None


def price(node: Node, precision: Precision, *, counted: bool = True) -> Price:
    """What a layer with a weight costs in a precision; without instructions where the runtime was not ``counted``."""
    weight, bias = node.input(1), node.optional(2)
    bits = {"float32": 32, "float16": 16, "int8": 8, "int4": 4, "int2": 2}[str(precision.weights)]
    channels = int(node.output.tensor_shape[-1 if isinstance(node.op, ops.Linear) else 1])
    size = (weight.type.numel() * bits + 7) // 8
    if precision.weights in RANGES:
        size += 4 * channels
    if bias is not None:
        size += bias.type.numel() * (8 if precision.activations == "int16" else 4)
    found = PER_MAC.get(cost_kind(node), {}).get(precision)
    if not counted or found is None:
        return Price(size)
    macs = node.op.macs(node)
    return Price(size, (found[0] * macs, found[1] * macs))


def slowdown(node: Node, precision: Precision, *, counted: bool = True) -> float | None:
    """How many times more instructions a layer takes than in int8, on the core where it is most; None: not counted."""
    here, int8 = price(node, precision, counted=counted).instructions, price(node, INT8, counted=counted).instructions
    if here is None or int8 is None or not int8[0]:
        return None
    return max(a / b for a, b in zip(here, int8, strict=True))


def plain_on_x86(node: Node, precision: Precision) -> bool:
    """Whether such a layer leaves the fast kernels of x86-64, whatever it costs on ARM64."""
    return precision.weights == "int4" and kind_of(node) in PLAIN_ON_X86


def cost_kind(node: Node) -> str:
    """The row of ``PER_MAC`` that a layer belongs to."""
    kind = kind_of(node)
    if kind == "convolution" and set(node.input(1).tensor_shape[2:]) == {1}:
        return "pointwise"
    if kind == "linear" and node.output.type.rank > 2:
        return "rows"
    return "convolution" if kind == "grouped" else kind or ""
