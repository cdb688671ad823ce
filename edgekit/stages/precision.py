"""The graph as a target wants it: exact passes, then the target's quantisation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from edgekit.compress.binarize.lowering import lower_binary
from edgekit.compress.binarize.pointwise import linear_for_binary_pointwise
from edgekit.compress.equalize.application import Equalization, equalize_graph
from edgekit.compress.mixed_precision.choice import Mixed
from edgekit.compress.mixed_precision.granularity import Granularity, choose_granularity
from edgekit.compress.quantize.dynamic_range import quantize_weights_only
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.pointwise import linear_for_pointwise
from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME, TFLM, Policy
from edgekit.compress.quantize.post_training import PostTraining, QuantizationRecord, quantize
from edgekit.compress.slimmable.tying import Tied, Within, shorten_biases, tie
from edgekit.config import BuildRequest, QuantizationSettings
from edgekit.errors import UsageError
from edgekit.ir import Graph, QuantParams, ops
from edgekit.passes import BARE_NORMS, DECOMPOSE, EXACT, Pass, PassRecord, run_passes
from edgekit.passes.centre_norms import CentreNorms
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
from edgekit.precision import PrecisionPlan
from edgekit.stages.asked import (
    require_kept,
    require_no_choice,
    stored_wider,
    unpacked,
    unreduced,
    unused,
    wider_weights,
    without_effect,
)
from edgekit.stages.io_types import IoTypes
from edgekit.stages.larq import notes_on_bits, require_engine
from edgekit.stages.mixed import chosen
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.sequence_products import linear_along_sequences
from edgekit.stages.trained_integers import is_trained, lower_trained
from edgekit.target import Target

_POLICIES: dict[str, Policy] = {
    "litert": LITERT,
    "tflite-micro": TFLM,
    "onnxruntime": ONNXRUNTIME,
    "c99": LITERT,
    "larq": LITERT,
}

#: Why settings have nothing to act on.
_TRAINED = "the step 'qat' trained the integers"


@dataclass(frozen=True)
class Lowered:
    """What an exporter writes: the graph, the float graph with the same inputs, what led there and what to know about it;
    ``notes`` need no mending.
    """

    graph: Graph
    float_graph: Graph
    passes: tuple[PassRecord, ...]
    quantization: QuantizationRecord | None = None
    warnings: tuple[str, ...] = ()
    equalization: Equalization | None = None
    mixed: Mixed | None = None
    granularity: Granularity | None = None
    notes: tuple[str, ...] = ()
    tied: Tied | None = None


def lower(
    prepared: Prepared,
    target: Target,
    samples: Sequence[list[torch.Tensor]] | None,
    request: BuildRequest,
    types: IoTypes,
    say: Callable[[str], None] | None = None,
    score: Callable[[Graph], float] | None = None,
    within: Within | None = None,
    one_of_several: bool = False,
) -> Lowered:
    """Runs the exact passes and the target's quantisation; a graph that was trained in integers keeps those.

    Args:
        prepared: the graph, taking raw inputs where preprocessing was declared.
        target: what to make of it.
        samples: calibration inputs, batch by batch; None where none were given.
        request: options of quantisation.
        types: of inputs and outputs.
        say: is told what goes on, where that takes long.
        score: the metric of a graph in percentage points, for choosing precisions by it.
        within: the larger network that this one's weights are parts of, as it was lowered for the same target.
        one_of_several: it is a size of a slimmable network, the largest included.

    Raises:
        UsageError: an integer target without calibration data.
        Unsupported: something has no place in this target.
    """
    require_engine(target)
    quantization = target.quantization
    if is_trained(prepared.graph):
        return _trained(prepared, target, samples, request, types)
    plan = PrecisionPlan(quantization.precision, request.quantization.layers)
    integers = [precision for precision in plan.precisions() if precision.activations != "float32"]
    if not integers:
        return _in_float(prepared, target, request, types, plan, within, _exact(target, one_of_several))
    if samples is None:
        raise UsageError(
            f"'{target.name}' stores activations in {integers[0].activations[3:]} bits and needs calibration data",
            where=request.config_file or f"--target {target.name}",
            hint="--calibration DATA: some 100 typical inputs, without labels (.npz or package.module:callable); "
            "or a target that needs none: tflite-dynamic, tflite-fp16, tflite-fp32",
        )
    graph, records = run_passes(prepared.graph, (*_exact(target, one_of_several), *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))
    equalization = None
    if request.quantization.equalize:
        wanted = request.quantization
        graph, equalization = equalize_graph(graph, samples, relu6=wanted.replace_relu6, absorb=wanted.absorb_bias)
    policy = _POLICIES[target.runtime]
    granularity = "per_channel" if quantization.weights is None else quantization.weights.granularity
    if granularity == "per_tensor":
        policy = replace(policy, per_channel=False)
    if granularity == "per_tensor" or quantization.fully_connected == "per_tensor":
        policy = replace(policy, per_channel_linear=False)
    linear: tuple[str, ...] = ()
    if request.quantization.pointwise == "linear":
        layers, some = Layers(graph, plan, policy), request.quantization.budget is None
        graph, linear = linear_for_pointwise(graph, lambda node: not some or layers.of(node).weights == "int4")
    options = options_of(request.quantization)
    if quantization.packs_binary_weights:
        graph, pointwise = linear_for_binary_pointwise(graph)
        records = (*records, pointwise)
    if within is None and not one_of_several:  # sizes of one network share the weights of its convolutions
        graph, along = linear_along_sequences(graph, prepared, target, request, policy, plan)
        records = (*records, *along)
    tied = None if within is None else tie(graph, within)
    if tied is not None:  # its integers are there already
        graph, options = tied.graph, replace(options, rounding="nearest")
    mixed = chosen(graph, samples, policy, options, request.quantization, plan, score)
    quantized_by = partial(
        quantize,
        graph,
        samples,
        policy=policy,
        float_io=types.floats(),
        input_params={**prepared.bytes, **prepared.folded},
        plan=plan if mixed is None else mixed.plan,
        io_types=types.integers(),
    )
    scales = None
    free = mixed is None and within is None and not one_of_several
    if quantization.fully_connected == "chosen" and policy.per_channel_linear and free:
        plain = replace(options, rounding="nearest")
        scales = choose_granularity(graph, samples, lambda shared: quantized_by(options=plain, shared=shared)[0])
    quantized, record = quantized_by(
        options=options,
        say=say,
        least_scales=None if tied is None else tied.scales,
        shared=() if scales is None else scales.shared,
    )
    if tied is not None:
        shorten_biases(quantized, tied.layers)
    over = Layers(quantized, plan)
    require_kept(quantized, over, target)
    notes = () if mixed is not None else wider_weights(quantized, over, target)
    lower_binary(quantized, packed=target.quantization.packs_binary_weights)
    _as_unsigned(quantized, types.unsigned())
    warnings = (
        *types.warnings,
        *(() if equalization is None else equalization.changes()),
        *record.warnings,
        *(() if mixed is None else mixed.warnings()),
        *unused(request.quantization, record, linear),
        *notes_on_bits(quantized, target),
    )
    return Lowered(quantized, graph, records, record, warnings, equalization, mixed, scales, notes, tied)


def _exact(target: Target, one_of_several: bool) -> tuple[Pass, ...]:
    """The exact passes that a target's format asks for.

    Sizes of a slimmable network keep the means of their norms: each size has a mean of its own, and taken out of the weights
    it would leave no two sizes with weights in common.
    """
    if target.exporter == "onnx":
        return EXACT
    return (*EXACT, *(step for step in BARE_NORMS if not (one_of_several and isinstance(step, CentreNorms))))


def _trained(
    prepared: Prepared, target: Target, samples: Sequence[list[torch.Tensor]] | None, request: BuildRequest, types: IoTypes
) -> Lowered:
    """The integers of a graph that was trained in them."""
    require_no_choice(request.quantization, _TRAINED, "`weights` and `layers` of the step 'qat'")
    trained, plain = lower_trained(prepared, target, samples, types)
    notes = (*stored_wider(prepared.graph, trained, target), *unpacked(trained, target))
    _as_unsigned(trained, types.unsigned())
    idle = without_effect(request.quantization, _TRAINED, used=("sensitivity",))
    warnings = (*types.warnings, *idle, *notes_on_bits(trained, target))
    return Lowered(trained, plain, (), QuantizationRecord(), warnings, notes=notes)


def _in_float(
    prepared: Prepared,
    target: Target,
    request: BuildRequest,
    types: IoTypes,
    plan: PrecisionPlan,
    within: Within | None,
    exact: tuple[Pass, ...],
) -> Lowered:
    """A graph without integer activations; weights are what the target or the plan says."""
    _require_no_choice(request.quantization, target)
    graph, records = run_passes(prepared.graph, exact)
    if target.exporter == "tflite" and getattr(prepared.graph.source, "floats_beside_integers", False):
        _as_floats(graph)
    policy = _POLICIES[target.runtime]
    reduced_by = partial(_with_fewer_bits, plan=plan, policy=policy)
    tied = None
    if within is not None and plan.default.weights in ("float32", "int8"):
        tied = tie(graph, within, {value.name for value in reduced_by(graph).constants() if value.quant is not None})
        graph = tied.graph
    reduced = reduced_by(graph, least_scales=None if tied is None else tied.scales)
    layers = Layers(graph, plan, policy) if reduced is graph else Layers(reduced, plan)
    require_kept(reduced, layers, target)
    idle = without_effect(request.quantization, f"'{target.name}' calibrates nothing")
    elsewhere = any(Target.load(name).quantization.needs_calibration for name in request.targets)
    notes, warnings = (idle, ()) if elsewhere else ((), idle)
    notes += unreduced(reduced, target)
    return Lowered(reduced, graph, records, warnings=(*types.warnings, *warnings), notes=notes, tied=tied)


def _with_fewer_bits(
    graph: Graph, plan: PrecisionPlan, policy: Policy, least_scales: Mapping[str, torch.Tensor] | None = None
) -> Graph:
    """A copy with integer weights where the plan has any, else the graph itself."""
    if not any(precision.weights in ("int8", "int4") for precision in plan.precisions()):
        return graph
    return quantize_weights_only(graph, plan=plan, policy=policy, least_scales=least_scales)


def _as_floats(graph: Graph) -> None:
    """Makes weights that the source stores as integers the floats that it computes with: TFLite's kernels would round the
    activations beside them.
    """
    for value in graph.constants():
        value.quant = None


def _require_no_choice(settings: QuantizationSettings, target: Target) -> None:
    """UsageError where precisions are to be chosen for a target that has one alone."""
    if settings.budget is not None or settings.fallback is not None:
        key = "budget" if settings.budget is not None else "fallback"
        raise UsageError(
            f"'{target.name}' computes in float: there is nothing to choose for a {key}",
            where=f"[quantization] {key}",
            hint="a target with integer activations: tflite-int8, onnx-int8",
        )


def options_of(settings: QuantizationSettings) -> PostTraining:
    """The quantiser's options, its own defaults where nothing is set."""
    names = ("observer", "bias_correction", "percentile", "rounding", "rounding_iterations")
    given = {name: getattr(settings, name) for name in names}
    return PostTraining(**{key: value for key, value in given.items() if value is not None})


def _as_unsigned(graph: Graph, names: Collection[str]) -> None:
    """Gives these inputs and outputs uint8 parameters, with the border op that turns one into the other."""
    for value in list(graph.inputs):
        if value.name not in names or value.quant is None:
            continue
        signed = value.quant
        readers = list(value.users)
        first = graph.nodes[0] if graph.nodes else None
        made = graph.add(ops.Identity(), value, name=f"{value.name}.signed", before=first, types=[value.type])
        made.quant = signed
        value.quant = QuantParams("uint8", signed.scale, (signed.zero_point[0] + 128,))
        for node in readers:
            for index, seen in enumerate(node.inputs):
                if seen is value:
                    graph.set_input(node, index, made)
    for value in dict.fromkeys(graph.outputs):
        if value.name not in names or value.quant is None or value.quant.dtype != "int8":
            continue
        where = value.producer.where if value.producer else ()
        made = graph.add(ops.Identity(), value, name=f"{value.name}.unsigned", where=where, types=[value.type])
        made.quant = QuantParams("uint8", value.quant.scale, (value.quant.zero_point[0] + 128,))
        value.name, made.name = made.name, value.name
        graph.outputs = [made if v is value else v for v in graph.outputs]
