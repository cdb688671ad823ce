"""What each layer of a quantised graph is held in, and what that costs beside int8."""

from __future__ import annotations

from edgekit.compress.mixed_precision.costs import INT8, price, slowdown
from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.layers import Layers
from edgekit.config import QuantizationSettings
from edgekit.ir import Node
from edgekit.precision import Precision
from edgekit.report import PrecisionsInfo, PricedLayer
from edgekit.stages.precision import Lowered

#: Above this many times int8's instructions, a layer is slower.
_SLOWER = 1.05


def precisions_info(lowered: Lowered, settings: QuantizationSettings, runtime: str) -> PrecisionsInfo | None:
    """The types of all layers with weights; None where all are int8 and nobody chose it. ``runtime``: whose costs they are."""
    graph, mixed = lowered.graph, lowered.mixed
    weighted = [n for n in graph.nodes if isinstance(n.op, WEIGHTED) and n.input(1).is_constant]
    if mixed is None and all(_precision(node) == INT8 for node in weighted):
        return None
    names, counted = Layers(graph), runtime == "litert"
    rows = []
    for node in weighted:
        held = _precision(node)
        sizes = price(node, held).bytes, price(node, INT8).bytes
        times = slowdown(node, held, counted=counted)
        rows.append(PricedLayer(names.label(node.input(1)), held.weights, held.activations, *sizes, times))
    slower = [
        row
        for row, node in zip(rows, weighted, strict=True)
        if _precision(node) != INT8 and (row.slowdown is None or row.slowdown > _SLOWER)
    ]
    return PrecisionsInfo(
        tuple(rows), len(slower), _asked(settings), None if mixed is None else mixed.drop, 0 if mixed is None else mixed.tried
    )


def _precision(node: Node) -> Precision:
    """What a layer is held in, as the graph says."""
    weight, output = node.input(1).quant, node.output.quant
    return Precision(
        "float32" if weight is None else weight.dtype,  # type: ignore[arg-type]
        "float32" if output is None else output.dtype,  # type: ignore[arg-type]
    )


def _asked(settings: QuantizationSettings) -> str | None:
    """The budget or fall-back in words."""
    words = _outcome(settings)
    if words is None or settings.rounding != "adaround":
        return words
    return f"{words} (with weights rounded to the nearest while choosing, by learning in the end)"


def _outcome(settings: QuantizationSettings) -> str | None:
    budget = settings.budget
    if settings.fallback is not None:
        return f"a drop of at most {settings.fallback.max_drop:g} points, float where it takes that"
    if budget is None:
        return None
    if budget.bytes is not None:
        return f"at most {budget.bytes:,} bytes"
    if budget.min_sqnr_db is not None:
        return f"at least {budget.min_sqnr_db:g} dB"
    return f"a drop of at most {budget.max_drop:g} points"
