"""What is supported: the ops of the graph with their form in every runtime, and the PyTorch ops that are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgekit.compress.quantize.policy import Policy
    from edgekit.ir.ops import Op

#: How an exporter has an op: as an operator of the format, rewritten as others, or not at all.
Form = Literal["operator", "rewritten", "none"]

#: How an int8 target executes an op. "follows": in integers if its input is. Some nodes of an integer op may still stay
#: float (a softmax along another axis than the last); the report of a build says which and why.
Precision = Literal["integer", "follows", "float"]


@dataclass(frozen=True)
class OpSupport:
    """One op of the graph.

    Attributes:
        name: as in the graph's text.
        meaning: the first line of its definition.
        tflite, onnx: its form there.
        int8: how each runtime's int8 targets execute it.
    """

    name: str
    meaning: str
    tflite: Form
    onnx: Form
    int8: dict[str, Precision]


def supported_ops() -> tuple[OpSupport, ...]:
    """All ops of the graph that an artifact may have, by name."""
    from edgekit.compress.quantize.policy import POLICIES
    from edgekit.export.onnx import convert as _onnx  # noqa: F401  (fills its table of emitters)
    from edgekit.export.onnx.registry import EMITTERS as ONNX_EMITTERS
    from edgekit.export.tflite import emitters as _tflite  # noqa: F401  (fills the table)
    from edgekit.export.tflite.registry import EMITTERS as TFLITE_EMITTERS
    from edgekit.ir.ops import OPS

    rewritten = _rewritten()
    return tuple(
        OpSupport(
            name,
            (op.__doc__ or "").strip().partition("\n")[0],
            "operator" if op in TFLITE_EMITTERS else "rewritten" if op in rewritten else "none",
            "operator" if op in ONNX_EMITTERS else "none",
            {policy.runtime: _precision(op, policy) for policy in POLICIES.values()},
        )
        for name, op in sorted(OPS.items())
        if not op.only_in_training
    )


def torch_ops() -> tuple[str, ...]:
    """Names of the PyTorch ops that are read, without overloads: ``aten.conv2d``. In-place forms are made functional."""
    from edgekit.frontend.torch.table import lowerings

    return tuple(sorted({str(overload.overloadpacket) for overload in lowerings()}))


def onnx_operators() -> tuple[str, ...]:
    """Names of the operators of ONNX files that are read, beside those that ONNX defines by them."""
    from edgekit.frontend.onnx.table import lowerings as onnx_lowerings

    return tuple(sorted({*onnx_lowerings(), "If"}))


def _rewritten() -> set[type[Op]]:
    """Ops that TFLite's lowerings replace."""
    from edgekit.export.tflite.legalize import LEGALIZE
    from edgekit.ir.ops import OPS
    from edgekit.passes.decompose import DecomposeAttention

    kinds: set[type[Op]] = set()
    for step in LEGALIZE:
        kind = getattr(step, "kind", ())
        kinds.update(kind if isinstance(kind, tuple) else (kind,))
        if isinstance(step, DecomposeAttention):
            kinds.add(OPS["attention"])
    return kinds


def _precision(op: type[Op], policy: Policy) -> Precision:
    if op in policy.undelegated or op not in policy.integer | policy.either:
        return "float"
    return "integer" if op in policy.integer else "follows"
