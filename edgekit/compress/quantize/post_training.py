"""Post-training quantisation of a whole graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from edgekit.compress.quantize.assign import assign_activations, assign_constants, channel_axis
from edgekit.compress.quantize.bias_correction import correct_biases
from edgekit.compress.quantize.borders import FloatIsland, Modes, decide, insert_borders, is_activation
from edgekit.compress.quantize.dynamic_range import RECURRENT, quantize_weights_of
from edgekit.compress.quantize.groups import Groups, build
from edgekit.compress.quantize.kernel_limits import widen_ranges
from edgekit.compress.quantize.layers import Layers
from edgekit.compress.quantize.lockstep import batch_size
from edgekit.compress.quantize.observers import NEED_HISTOGRAMS, NEED_MOVING, OBSERVERS
from edgekit.compress.quantize.policy import LITERT, Policy
from edgekit.compress.quantize.ranges import choose_ranges
from edgekit.compress.quantize.recurrent import integer_lstms, share_states, split_integer_lstms
from edgekit.compress.quantize.rounding.layers import AdaRound, Rounded
from edgekit.compress.quantize.shared_scales import clipped_shares
from edgekit.compress.quantize.statistics import collect, require_finite
from edgekit.errors import UsageError
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.precision import PrecisionPlan

#: Below so many samples, calibration is worth a word.
_FEW = 8

#: How weights may be rounded.
ROUNDINGS = ("nearest", "adaround")


@dataclass(frozen=True)
class PostTraining:
    """Options of post-training quantisation.

    ``observer``: how the ranges of activations are chosen: "output_error" (least first-order error of the network's output),
    "min_max", "moving_average", "percentile", "mse", "entropy", or "auto" (the best of them for every tensor, by measured
    error). ``percentile``: share of the elements inside the range, for that observer.
    ``bias_correction``: move each channel's mean error into the bias. ``rounding``: of weights, "nearest" or "adaround", which
    learns for each layer in turn which weights go up and which go down (seconds a layer); ``rounding_iterations`` for each
    layer, and the ``seed`` of what they look at.
    """

    observer: str = "output_error"
    bias_correction: bool = True
    percentile: float = 0.99999
    rounding: str = "nearest"
    rounding_iterations: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.observer not in OBSERVERS:
            raise UsageError(f"unknown observer '{self.observer}'", hint=f"choose from {', '.join(OBSERVERS)}")
        if self.rounding not in ROUNDINGS:
            raise UsageError(f"unknown rounding '{self.rounding}'", hint=f"choose from {', '.join(ROUNDINGS)}")
        if self.rounding_iterations < 1:
            raise UsageError(f"'rounding_iterations' is a number from 1, not {self.rounding_iterations}", hint="1000")


@dataclass
class QuantizationRecord:
    """What was done: float islands with reasons, the weights whose layers were bias-corrected, what calibration did not
    show, for each activation the observer that gave its range, and what learning to round came to.
    """

    islands: list[FloatIsland] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    observers: dict[str, str] = field(default_factory=dict)
    rounded: list[Rounded] = field(default_factory=list)


def quantize(
    graph: Graph,
    batches: Sequence[list[torch.Tensor]],
    *,
    policy: Policy = LITERT,
    options: PostTraining | None = None,
    integer_io: bool = True,
    float_io: Collection[str] = (),
    input_params: dict[str, QuantParams] | None = None,
    plan: PrecisionPlan | None = None,
    io_types: Mapping[str, str] | None = None,
    say: Callable[[str], None] | None = None,
    least_scales: Mapping[str, torch.Tensor] | None = None,
    shared: Collection[str] = (),
) -> tuple[Graph, QuantizationRecord]:
    """A quantised copy of a graph on which the exact passes have run.

    Args:
        graph: float; no value may carry ``quant`` yet.
        batches: calibration inputs, batch by batch, in the graph's input order.
        policy: what the runtime executes in integers.
        options: how ranges are chosen.
        integer_io: float inputs and outputs become 8-bit; otherwise they stay float32 with a border inside.
        float_io: names of inputs and outputs that stay float32 nevertheless.
        input_params: ``QuantParams`` by input name, where they are known exactly (folded preprocessing).
        plan: which layers are stored and computed in what; int8 throughout by default.
        io_types: the integers of inputs and outputs by name, where they are not those of the plan's default.
        say: is told what goes on, where that takes long.
        least_scales: by the name of a weight, the smallest scale for each of its rows.
        shared: names of the outputs of linear layers whose channels share one scale, whatever the policy.

    Raises:
        InputError: the data makes a value NaN or infinite.
        UsageError: the plan names a layer that the graph does not have, or rounding is to be learned from one sample.
        Unsupported: the runtime allows no float islands and the model needs some.
    """
    options, out = options or PostTraining(), graph.copy()
    count = sum(batch_size(graph, batch) for batch in batches)
    if options.rounding == "adaround" and count < 2:
        raise UsageError(
            "rounding is learned on one half of the samples and judged on the other, and there is one sample",
            where="[quantization] rounding",
            hint='some 500 calibration samples; or rounding = "nearest"',
        )
    layers = Layers(out, plan, policy)
    split_integer_lstms(out, policy, layers)
    default = layers.plan.default.activations
    integer_io = integer_io and default != "float32"
    ends = {v.name: default for v in (*out.inputs, *out.outputs)} | dict(io_types or {})
    ends |= {name: params.dtype for name, params in (input_params or {}).items()}
    stats = collect(out, batches, histograms=options.observer in NEED_HISTOGRAMS, moving=options.observer in NEED_MOVING)
    integer_names = {v.name for v in (*out.inputs, *out.outputs) if integer_io and is_activation(v)} - set(float_io)
    modes = decide(out, policy, integer_names, stats, layers, ends)
    insert_borders(out, modes, integer_names, ends)
    for node in out.nodes:
        if isinstance(node.op, ops.Identity) and id(node.output) not in stats and id(node.input(0)) in stats:
            stats[id(node.output)] = stats[id(node.input(0))]
    require_finite((value for value in out.values() if id(value) in modes.integer), stats)
    groups = build(out, modes.integer, stats, input_params, modes.types)
    share_states(integer_lstms(out, modes.nodes), groups, batches, out)
    ranges, observers = choose_ranges(out, batches, groups, options.observer, options.percentile)
    warnings = [*_few(count), *_unseen_inputs(out, modes, groups, ranges)]
    widen_ranges(out, modes, groups, ranges, layers)
    whole = [node for node in out.nodes if id(node) in modes.nodes and _has_one_scale(node, policy, shared)]
    shares = clipped_shares(out, batches, whole, layers, centred=options.bias_correction)
    assign_activations(out, modes.integer, groups, ranges)
    assign_constants(out, modes, policy, layers, least_scales, shared, shares)
    dynamic = [node for node in out.nodes if id(node) not in modes.nodes and _is_dynamic(node, layers)]
    quantize_weights_of(dynamic, layers, least_scales=least_scales)
    rounding = AdaRound(options.rounding_iterations, options.seed, say) if options.rounding == "adaround" else None
    corrected = correct_biases(out, batches, rounding=rounding, correct=options.bias_correction)
    rounded = [] if rounding is None else rounding.done
    chosen = {v.name: name for v in out.values() if groups.has(v) and (name := observers.get(id(groups.of(v))))}
    return out, QuantizationRecord(modes.islands, corrected, warnings, chosen, rounded)


def _has_one_scale(node: Node, policy: Policy, shared: Collection[str]) -> bool:
    return isinstance(node.op, ops.Linear) and node.input(1).is_constant and channel_axis(node, policy, shared) is None


def _is_dynamic(node: Node, layers: Layers) -> bool:
    """Whether a float node's weight becomes integers: of recurrent layers by default, of others where the plan asks for it."""
    if layers.of(node).weights not in ("int8", "int4"):
        return False
    asked = layers.of(node).activations == "float32" and (layers.is_named(node) or layers.plan.default.activations == "float32")
    return isinstance(node.op, RECURRENT) or asked


def _few(count: int) -> list[str]:
    """A sentence where calibration is of so few samples that it says little about others."""
    if count >= _FEW:
        return []
    samples = "1 sample" if count == 1 else f"{count} samples"
    return [f"ranges are those of {samples}, and so is the error against the source: calibrate with some 100"]


def _unseen_inputs(graph: Graph, modes: Modes, groups: Groups, ranges: dict[int, tuple[float, float]]) -> list[str]:
    """Gives inputs of which calibration saw only zeros the range -1 to 1 instead of none; names all that never change."""
    warnings = []
    for value in graph.inputs:
        held = next((v for v in (value, *_converted(value)) if id(v) in modes.integer), None)
        if held is None or (group := groups.of(held)).fixed:
            continue
        if ranges[id(group)] == (0.0, 0.0):
            ranges[id(group)] = (-1.0, 1.0)
            warnings.append(f"input '{value.name}' is zero in all calibration data: its integers cover -1 to 1")
        elif group.stats is not None and group.stats.low == group.stats.high:
            warnings.append(f"input '{value.name}' is {group.stats.low:g} in all calibration data: other values are cut off")
    return warnings


def _converted(value: Value) -> list[Value]:
    """What conversions at the border make of an input."""
    return [node.output for node in value.users if isinstance(node.op, ops.Identity)]
