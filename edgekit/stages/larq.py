"""What a file for Larq Compute Engine holds in bits, and what it does not."""

from __future__ import annotations

from dataclasses import replace

from edgekit.export.tflite.larq import binary_layers, why_not
from edgekit.export.tflite.larq.bits import words
from edgekit.ir import Graph, Node, ops
from edgekit.ir.signs import is_thresholded
from edgekit.report import Layer
from edgekit.runtime.larq_environment import require_python
from edgekit.target import Target

_NOTHING = "no layer of this model becomes an operator of Larq Compute Engine: the step 'binarize' makes layers of signs"


def require_engine(target: Target) -> None:
    """UsageError for a target of the engine where it is not: its files would not be verified."""
    if target.runtime == "larq":
        require_python()


def notes_on_bits(graph: Graph, target: Target) -> tuple[str, ...]:
    """Which binary layers stay 8-bit integers, and why; nothing for other targets."""
    if target.runtime != "larq":
        return ()
    reasons = {node.input(1).name: why_not(node) for node in binary_layers(graph)}
    stay = tuple(f"'{name}' stays in 8-bit integers: {reason}" for name, reason in reasons.items() if reason is not None)
    return stay if len(stay) < len(reasons) else (*stay, _NOTHING)


def with_bits(rows: tuple[Layer, ...], graph: Graph, target: Target) -> tuple[Layer, ...]:
    """The report's layers with the bytes that packed weights take; as they are for other targets."""
    if target.runtime != "larq":
        return rows
    stored = {node.output.name: _bytes(node) for node in binary_layers(graph) if why_not(node) is None}
    return tuple(replace(row, weight_bytes=stored.get(row.name, row.weight_bytes)) for row in rows)


def _bytes(node: Node) -> int:
    """Words of signs, and a threshold or a factor and an offset for every channel."""
    shape = node.input(1).tensor_shape
    taps = 1
    for size in shape[2:]:
        taps *= size
    whole = is_thresholded(node) and not (isinstance(node.op, ops.Conv1d | ops.Conv2d) and any(map(any, node.op.padding)))
    return 4 * shape[0] * (taps * words(shape[1]) + (1 if whole else 2))
