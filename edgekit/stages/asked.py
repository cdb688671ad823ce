"""What ``[quantization]`` asks for, held against what came out: nothing of it is left aside without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.compress.binarize.lowering import has_binary_weight
from edgekit.compress.quantize.borders import WEIGHTED
from edgekit.compress.quantize.dynamic_range import RECURRENT, SMALLEST
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.post_training import QuantizationRecord
from edgekit.config import QuantizationSettings
from edgekit.errors import Unsupported, UsageError
from edgekit.export.half import SMALLEST_FLOAT16, fits_float16
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.types import where_text
from edgekit.precision import LayerPrecision, Precision
from edgekit.target import Target

#: Settings that say how: without effect they do no harm, and are named.
_HOW = (
    *("observer", "percentile", "bias_correction", "rounding", "rounding_iterations"),
    *("equalize", "replace_relu6", "absorb_bias", "sensitivity", "pointwise"),
)
#: Settings that say what must come out: without effect they are refused.
_WHAT = ("layers", "budget", "fallback")
_PLAIN = QuantizationSettings()


def given(settings: QuantizationSettings, names: Iterable[str]) -> list[str]:
    """Those of the settings that the user has set to something else than the default."""
    return [name for name in names if getattr(settings, name) != getattr(_PLAIN, name)]


def without_effect(settings: QuantizationSettings, reason: str, used: Iterable[str] = ()) -> tuple[str, ...]:
    """One sentence that names the settings of method that nothing reads, and why; none where there are none."""
    names = given(settings, [name for name in _HOW if name not in used])
    return (f"[quantization] {', '.join(names)} {'has' if len(names) == 1 else 'have'} no effect: {reason}",) if names else ()


def require_no_choice(settings: QuantizationSettings, reason: str, hint: str) -> None:
    """UsageError where types are named, or to be chosen, that nothing can change any more."""
    if names := given(settings, _WHAT):
        raise UsageError(
            f"[quantization] {names[0]} can change nothing: {reason}", where=f"[quantization] {names[0]}", hint=hint
        )


def unused(settings: QuantizationSettings, record: QuantizationRecord, linear: Sequence[str] | None) -> tuple[str, ...]:
    """Methods that were asked for and met nothing that they act on; ``linear``: weights that became those of linear layers."""
    said = []
    if settings.observer not in (None, "auto", *record.observers.values()):
        why = "16-bit activations cover all that was seen" if record.observers else "no activation's range is chosen"
        said.append(f"[quantization] observer has no effect: {why}")
    if settings.rounding == "adaround" and not record.rounded:
        said.append("[quantization] rounding has no effect: no layer has integer weights whose rounding can be learned")
    if settings.pointwise == "linear" and not linear:
        said.append("[quantization] pointwise has no effect: no 1x1 convolution has, or may get, 4-bit weights")
    return tuple(said)


def require_kept(graph: Graph, layers: Layers, target: Target) -> None:
    """Unsupported where a named layer has other types than were stated, and none that it names has them.

    Args:
        graph: as it was quantised.
        layers: the plan over this graph.
        target: whose files hold float weights in one type.
    """
    _require_float_type(layers.plan.layers, target)
    places = [(node, layers.plan.entry(*layers.names(node))) for node in graph.nodes]
    for entry, stated in layers.plan.layers.items():
        nodes = [node for node, found in places if found == entry and not isinstance(node.op, ops.Identity)]
        if not nodes:
            continue  # a longer name says the same of all its layers
        if stated.weights is not None and not any(_holds_weights(node, stated.weights) for node in nodes):
            raise _not_kept(entry, layers.plan.of(entry), nodes)
        if stated.activations is not None and not any(_computes_in(node, stated.activations) for node in nodes):
            raise _not_kept(entry, layers.plan.of(entry), nodes)


def wider_weights(graph: Graph, layers: Layers, target: Target) -> tuple[str, ...]:
    """Which layers of a target with 4-bit weights have wider ones, by kind of reason.

    Raises:
        Unsupported: all have.
    """
    if layers.plan.default.weights != "int4":
        return ()
    held = {layers.label(w): (node, _dtype(w)) for node in graph.nodes for w in _matrices(node)}
    wide = {name: (node, dtype) for name, (node, dtype) in held.items() if dtype != "int4" and not layers.states_weights(node)}
    if not any(dtype == "int4" for _, dtype in held.values()):
        kinds = sorted({node.op.name for node, _ in wide.values()})
        raise Unsupported(
            f"'{target.name}' stores nothing of this model in 4 bits"
            + (f": its layers ({', '.join(kinds)}) keep wider weights" if kinds else ": it has no layers with weights"),
            where=where_text(next(iter(wide.values()))[0].where) if wide else graph.name,
            hint=f"the target {target.exporter}-int8; which layers take 4 bits: docs/precisions.md",
        )
    if not wide:
        return ()
    listed = ", ".join(f"{name} ({node.op.name}, {dtype})" for name, (node, dtype) in wide.items())
    return (f"{len(wide)} of {len(held)} weights are wider than the 4 bits of '{target.name}': {listed}; docs/precisions.md",)


def unreduced(graph: Graph, target: Target) -> tuple[str, ...]:
    """That no weight is in fewer bits, of a target that is there for nothing else."""
    wanted, weights = target.quantization.precision.weights, [v for v in graph.constants() if v.type.is_float]
    if wanted == "float32" or any(v.quant is not None for v in weights):
        return ()
    if wanted == "float16" and any(v.type.numel() >= SMALLEST_FLOAT16 and fits_float16(_numbers(v)) for v in weights):
        return ()
    least = SMALLEST_FLOAT16 if wanted == "float16" else SMALLEST
    return (
        f"'{target.name}' stores all weights of this model in float32: none in {wanted} is worth it below {least:,} elements",
    )


def stored_wider(trained: Graph, stored: Graph, target: Target) -> tuple[str, ...]:
    """Which weights were trained in fewer bits than the target holds them in: the same integers in more bytes."""
    before = {v.name: v.quant.dtype for v in trained.constants() if v.quant is not None}
    wide = [
        f"{name} ({before[name]})"
        for name in dict.fromkeys(v.name for v in stored.constants() if v.quant is not None and v.quant.dtype == "int8")
        if before.get(name) in ("int4", "int2")
    ]
    if not wide:
        return ()
    return (f"'{target.name}' stores weights that were trained in fewer bits as 8-bit integers: {', '.join(wide)}",)


def unpacked(trained: Graph, target: Target) -> tuple[str, ...]:
    """Which linear layers of a trained graph keep 8 bits for weights of one magnitude, of a target that packs such."""
    names = [
        node.input(1).name
        for node in trained.nodes
        if isinstance(node.op, ops.Linear) and has_binary_weight(node) and _integers(node.input(1)) == "int8"
    ]
    if not names or not target.quantization.packs_binary_weights:
        return ()
    why = "no sign follows, and the bias was trained in steps of these integers"
    return (f"'{target.name}' stores binary weights in 8 bits: {', '.join(names)}: {why}",)


def _integers(value: Value) -> str | None:
    return None if value.quant is None else value.quant.dtype


def _require_float_type(layers: Mapping[str, LayerPrecision], target: Target) -> None:
    """Unsupported where layers are to hold their float weights otherwise than the file does."""
    held, other = ("float16", "fp32") if target.quantization.precision.weights == "float16" else ("float32", "fp16")
    for name, precision in layers.items():
        if precision.weights in ("float32", "float16") and precision.weights != held:
            raise Unsupported(
                f"'{name}' asks for {precision.weights} weights: a file holds all its float weights alike, those of "
                f"'{target.name}' in {held}",
                where="[quantization.layers]",
                hint=f'weights = "{held}", or integers; or the target {target.exporter}-{other}',
            )


def _not_kept(entry: str, wanted: Precision, nodes: Sequence[Node]) -> Unsupported:
    names = ", ".join(dict.fromkeys(node.op.name for node in nodes))
    return Unsupported(
        f"'{entry}' can't have {wanted}: edgekit has no such form of {names}",
        where=where_text(nodes[0].where) or entry,
        hint=f"leave '{entry}' out of [quantization.layers]; what there is: docs/precisions.md",
    )


def _matrices(node: Node) -> list[Value]:
    """The weights of a node that integers are a matter of: kernels, matrices and tables."""
    if isinstance(node.op, WEIGHTED):
        candidates = [node.input(1)]
    elif isinstance(node.op, RECURRENT):
        candidates = [v for v in node.inputs[1 + node.op.STATES :] if v is not None and v.type.rank == 2]
    elif isinstance(node.op, ops.Gather):
        candidates = [node.input(0)]
    else:
        candidates = [v for v in node.inputs if v is not None] if isinstance(node.op, ops.Matmul) else []
    return [value for value in candidates if value.is_constant and value.type.is_float]


def _numbers(value: Value) -> np.ndarray[Any, Any]:
    numbers: np.ndarray[Any, Any] = value.tensor.detach().numpy()
    return numbers


def _dtype(weight: Value) -> str:
    return "float32" if weight.quant is None else weight.quant.dtype


def _holds_weights(node: Node, wanted: str) -> bool:
    wanted = "float32" if wanted == "float16" else wanted
    return any(_dtype(weight) == wanted for weight in _matrices(node))


def _computes_in(node: Node, wanted: str) -> bool:
    return any((value.quant.dtype if value.quant is not None else "float32") == wanted for value in node.outputs)
