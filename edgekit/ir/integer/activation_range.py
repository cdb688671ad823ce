"""The integers between which a fused activation clamps."""

from __future__ import annotations

import numpy as np

from edgekit.errors import Unsupported
from edgekit.ir.quant import QuantParams

#: Bounds of each activation that TFLite fuses, as real numbers.
FUSED: dict[str, tuple[float | None, float | None]] = {
    "none": (None, None),
    "relu": (0.0, None),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
    "relu_0_to_1": (0.0, 1.0),
}


def _integer(bound: float, quant: QuantParams) -> int:
    # The quotient is float32 and is rounded half away from zero, as in the runtime.
    quotient = float(np.float32(bound) / np.float32(quant.scale[0]))
    return quant.zero_point[0] + int(np.copysign(np.floor(abs(quotient) + 0.5), quotient))


def activation_range(activation: str, quant: QuantParams) -> tuple[int, int]:
    """Lowest and highest integer of an output with these parameters after ``activation``.

    Args:
        activation: "none", "relu", "relu6", "relu_n1_to_1" or "relu_0_to_1".
        quant: per-tensor parameters of the op's output.

    Raises:
        Unsupported: another activation; TFLite fuses none but these.
    """
    if activation not in FUSED:
        raise Unsupported(
            f"activation '{activation}' can't be fused into an integer operator",
            hint="leave it as an operator of its own: TFLite fuses relu, relu6 and relu_n1_to_1",
        )
    low, high = FUSED[activation]
    qmin, qmax = quant.qmin, quant.qmax
    return (
        qmin if low is None else max(qmin, _integer(low, quant)),
        qmax if high is None else min(qmax, _integer(high, quant)),
    )


#: What activations may be held in, for operators that have kernels for both.
BOTH = ("int8", "int16")


def require(operator: str, *quants: QuantParams, dtypes: tuple[str, ...] = ("int8",)) -> None:
    """Refuses types that an operator's integer kernel is not simulated for.

    Raises:
        Unsupported: one of ``quants`` has a dtype outside ``dtypes``, or is per channel.
    """
    for quant in quants:
        if quant.dtype not in dtypes:
            raise Unsupported(
                f"no integer simulation of {operator} with {quant.dtype} values",
                hint=f"quantise activations to {' or '.join(dtypes)}, or leave the operator in float",
            )
        if quant.per_channel:
            raise Unsupported(
                f"{operator} takes activations with one scale, not one per channel",
                hint="only weights are quantised per channel",
            )


def require_one_type(operator: str, *quants: QuantParams) -> None:
    """Refuses operators between types that no kernel mixes.

    Raises:
        Unsupported: the dtypes differ.
    """
    if len({quant.dtype for quant in quants}) > 1:
        held = " and ".join(dict.fromkeys(quant.dtype for quant in quants))
        raise Unsupported(f"{operator} between {held}", hint="convert one of them: the kernels take one type")


def require_equal(operator: str, first: QuantParams, *others: QuantParams) -> None:
    """Refuses operators that move integers without rescaling them between different scales.

    Raises:
        Unsupported: parameters differ.
    """
    for other in others:
        if (other.dtype, other.scale, other.zero_point) != (first.dtype, first.scale, first.zero_point):
            raise Unsupported(
                f"{operator} moves integers unchanged, but its values are {first} and {other}",
                hint="give the operator's inputs and outputs equal scales and zero points, or insert a requantisation",
            )
