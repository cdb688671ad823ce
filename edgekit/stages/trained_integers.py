"""A graph that training has quantised, as a target wants it: its scales stay, ends and storage are the target's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from edgekit.compress.binarize.lowering import lower_trained_binary
from edgekit.compress.quantize.assign import LARGEST_BIAS
from edgekit.compress.quantize.borders import WEIGHTED, is_activation
from edgekit.compress.quantize.params import activation_params, bias_params, span, weight_params
from edgekit.compress.quantize.weight_kernels import takes
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.quant import RANGES
from edgekit.ir.types import where_text
from edgekit.precision import Precision
from edgekit.stages.io_types import IoTypes
from edgekit.stages.preprocessing import Prepared
from edgekit.target import Target

#: s_x s_w / s_y, from which on XNNPACK refuses a layer, and the file with it.
_LARGEST_RATIO = 256.0


def is_trained(graph: Graph) -> bool:
    """Its activations carry ``quant`` already."""
    return any(value.quant is not None and is_activation(value) for value in graph.values())


def lower_trained(
    prepared: Prepared, target: Target, samples: Sequence[list[torch.Tensor]] | None, types: IoTypes
) -> tuple[Graph, Graph]:
    """The graph for the exporter, and the same without rounded activations (its constants are those that the integers mean).

    Args:
        prepared: the graph, taking raw inputs where preprocessing was declared.
        target: must compute in 8 bits; weights of fewer bits than it stores become wider integers of the same value.
        samples: calibration inputs, for an input whose raw range nothing else tells.
        types: of inputs and outputs.

    Raises:
        Unsupported: the target computes in something else, or its runtime lacks what the graph was trained for.
        UsageError: samples are needed and there are none.
    """
    _require_fit(prepared.graph, target)
    graph = prepared.graph.copy()
    for value in list(graph.inputs):
        if value.quant is not None:
            _enter(graph, value, prepared, samples, value.name in types.floats())
    for value in dict.fromkeys(graph.outputs):
        if value.quant is not None and value.name in types.floats():
            _leave(graph, value)
    _store(graph, target)
    plain = graph.copy()
    for value in plain.values():
        value.quant = None
    lower_trained_binary(graph, packed=target.quantization.packs_binary_weights)
    return graph, plain


def _require_fit(graph: Graph, target: Target) -> None:
    """Unsupported for a target that can't hold what was trained."""
    kinds = {v.quant.dtype for v in graph.values() if v.quant is not None and is_activation(v)}
    wanted = target.quantization.precision.activations
    if kinds != {wanted}:
        held = ", ".join(sorted(kinds))
        if not graph.history:  # the source was quantised already
            raise Unsupported(
                f"the source has {held} activations, and '{target.name}' computes in {wanted}",
                where=f"{graph.name}, for {target.name}",
                hint=f"a target with {held} activations keeps the source's integers (tflite-int8 and onnx-int8 those of int8); "
                "for float targets load the float file that it was made from",
            )
        raise Unsupported(
            f"the model was trained for {held} activations, and '{target.name}' computes in {wanted}: that would lose what was "
            "trained",
            where=f"the recipe's step 'qat', for {target.name}",
            hint="build this target without the step 'qat', or choose one of 8 bits: tflite-int8, tflm-int8, onnx-int8",
        )
    if target.runtime == "litert":
        _require_ratios(graph)
    if target.runtime != "tflite-micro":
        return
    for node in graph.nodes:
        if isinstance(node.op, ops.Linear) and (quant := node.input(1).quant) is not None and quant.per_channel:
            raise _not_for_micro("its linear layers take one scale for all channels, and were trained with one for each", node)
        if not isinstance(node.op, ops.Identity) and any(is_activation(v) and v.quant is None for v in node.outputs):
            raise _not_for_micro(f"the model keeps '{node.op.name}' in float, for which it has no place among integers", node)


def _require_ratios(graph: Graph) -> None:
    """Unsupported for a layer of which XNNPACK would load no file."""
    for node in graph.nodes:
        if not isinstance(node.op, WEIGHTED):
            continue
        x, weight, y = node.input(0).quant, node.input(1).quant, node.output.quant
        if x is None or weight is None or y is None or x.scale[0] * max(weight.scale) / y.scale[0] < _LARGEST_RATIO:
            continue
        raise Unsupported(
            f"LiteRT takes no sums whose step is {_LARGEST_RATIO:g} times that of the output or more: the training drove "
            f"'{node.output.name}' there",
            where=where_text(node.where) or node.name,
            hint="a smaller lr, or clip_norm = 1.0, in the step 'qat'",
        )


def _not_for_micro(reason: str, node: Node) -> Unsupported:
    return Unsupported(
        f"what was trained does not fit TFLite Micro: {reason}",
        where=where_text(node.where),
        hint="runtime = \"tflite-micro\" in the step 'qat' trains for it",
    )


def _enter(
    graph: Graph, value: Value, prepared: Prepared, samples: Sequence[list[torch.Tensor]] | None, is_float: bool
) -> None:
    """Gives an input the form that comes in: float, the raw byte, or the integers that were trained."""
    trained = value.quant
    assert trained is not None
    if value.name in prepared.affine and value.name not in prepared.folded:
        _normalize(graph, value, trained, prepared.bytes, samples, is_float)
        return
    given = None if is_float else prepared.folded.get(value.name, trained)
    if given != trained:
        made = _between(graph, value, f"{value.name}.{'quantized' if given is None else 'rescaled'}")
        made.quant, value.quant = trained, given


def _normalize(
    graph: Graph,
    value: Value,
    trained: QuantParams,
    raw_bytes: Mapping[str, QuantParams],
    samples: Sequence[list[torch.Tensor]] | None,
    is_float: bool,
) -> None:
    """The declared preprocessing between an input and what was trained: in float behind a float input, else in integers.

    ``prepare`` made it one depthwise convolution, or a product and a sum of scalars.
    """
    first = value.users[0]
    turned = isinstance(first.op, ops.Permute)  # channels last: the product stands between two transposes
    if turned:
        first = first.output.users[0]
        first.output.users[0].output.quant = trained
    chain = [first] if isinstance(first.op, WEIGHTED) else [first, first.output.users[0]]
    result = chain[-1].output
    value.quant = None
    if is_float:
        _between(graph, result, f"{result.name}.quantized").quant = trained
        return
    value.quant = raw_bytes.get(value.name) or activation_params(*_seen(graph, value, samples))
    if turned:
        first.input(0).quant = value.quant
    low, high = value.quant.range
    for node in chain:
        result.quant = trained
        if isinstance(node.op, WEIGHTED):
            weight, bias = node.input(1), node.input(2)
            weight.quant = weight_params(weight.tensor, 0)
            bias.quant = bias_params(value.quant, weight.quant)
            continue
        constant = node.input(1)
        constant.quant = activation_params(*span(constant.tensor))
        if node.output is not result:
            ends = low * float(constant.tensor), high * float(constant.tensor)
            node.output.quant = activation_params(min(ends), max(ends))


def _seen(graph: Graph, value: Value, samples: Sequence[list[torch.Tensor]] | None) -> tuple[float, float]:
    """The range of raw samples."""
    if samples is None:
        raise UsageError(
            f"nothing tells the range of the raw input '{value.name}'",
            where=f"[input.{value.name}]",
            hint="--calibration DATA: some 100 typical inputs, without labels (.npz or package.module:callable)",
        )
    place = next(index for index, v in enumerate(graph.inputs) if v is value)
    ends = [span(batch[place]) for batch in samples]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _between(graph: Graph, value: Value, name: str) -> Value:
    """An ``identity`` between a value and its readers."""
    readers = list(value.users)
    place = 0 if value.producer is None else graph.nodes.index(value.producer) + 1
    before = graph.nodes[place] if place < len(graph.nodes) else None
    made = graph.add(ops.Identity(), value, name=name, before=before, types=[value.type])
    for node in readers:
        for index, seen in enumerate(node.inputs):
            if seen is value:
                graph.set_input(node, index, made)
    graph.outputs = [made if v is value else v for v in graph.outputs]
    return made


def _leave(graph: Graph, value: Value) -> None:
    """An output that is float in the file: an ``identity`` behind its integers, with its name."""
    where = value.producer.where if value.producer else ()
    made = graph.add(ops.Identity(), value, name=f"{value.name}.float", where=where, types=[value.type])
    value.name, made.name = made.name, value.name
    graph.outputs = [made if v is value else v for v in graph.outputs]


def _store(graph: Graph, target: Target) -> None:
    """Weights of fewer bits than the target's, or than its kernels take, are stored in its type: the same integers, wider.

    Raises:
        Unsupported: the target stores fewer bits than any layer was trained for.
    """
    dtype = target.quantization.precision.weights
    kinds = {quant.dtype for v in graph.constants() if (quant := v.quant) is not None} & {"int2", "int4", "int8"}
    if min((RANGES[kind][1] for kind in kinds), default=0) > RANGES[dtype][1]:
        raise Unsupported(
            f"the model was trained for {', '.join(sorted(kinds))} weights, and the target stores {dtype}",
            where="the recipe's step 'qat'",
            hint=f"weights = \"{dtype}\" in the step 'qat', or a target of 8 bits",
        )
    runtime = "tflm" if target.runtime == "tflite-micro" else target.runtime
    for value in graph.constants():
        if value.quant is None or value.quant.dtype not in ("int2", "int4"):
            continue
        narrow = Precision("int4", "int8")
        four = dtype == "int4" and all(takes(runtime, node, narrow) and _bias_fits(node) for node in value.users)
        value.quant = replace(value.quant, dtype="int4" if four else "int8", narrow=True)


def _bias_fits(node: Node) -> bool:
    """Whether XNNPACK's kernels for 4-bit weights, which hold a bias times 16, have room for it."""
    bias = node.optional(2)
    if bias is None or bias.quant is None:
        return True
    integers = bias.tensor.detach().abs().double() / torch.tensor(bias.quant.scale, dtype=torch.float64)
    return bool((integers < 2 * LARGEST_BIAS["int4"]).all())
