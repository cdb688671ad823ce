"""Quantisation-aware training from the float graph to the quantised one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgekit.compress.context import Context
from edgekit.compress.qat.absorbing import absorb, constant_of, params_of
from edgekit.compress.qat.attaching import attach
from edgekit.compress.qat.calibration import calibration_batches
from edgekit.compress.qat.clusters import clusters_of, keeping
from edgekit.compress.qat.folding import fold
from edgekit.compress.qat.norms import Norm, recording_passes
from edgekit.compress.qat.step import QAT, TRAINING
from edgekit.compress.qat.types import weight_types
from edgekit.compress.qat.unfolding import unfold
from edgekit.compress.quantize.policy import LITERT, ONNXRUNTIME, TFLM, Policy
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.compress.recording import recorded
from edgekit.compress.scoring import score
from edgekit.compress.tuning import Tuned, tune
from edgekit.data import Data
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, ops
from edgekit.ir.ops.training import FakeQuantize
from edgekit.passes import DECOMPOSE, run_passes
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS

#: The 16-bit cell state of an integer LSTM is calibrated, not trained.
_TFLM = replace(TFLM, integer=TFLM.integer - {ops.Lstm})
_POLICIES: dict[str, Policy] = {"litert": LITERT, "tflite-micro": _TFLM, "onnxruntime": ONNXRUNTIME}


def train_quantized(step: QAT, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``QAT.apply``. The order of the lines is the order of the work."""
    started = time.perf_counter()
    _require_float(graph)
    if context.source is None:
        context = replace(context, source=graph)
    evaluate = data.evaluate if isinstance(data, Data) else None
    norms: dict[str, Norm] = {}
    lowered, _ = run_passes(graph, (*recording_passes(norms), *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))
    batches = calibration_batches(lowered, data, step.calibration, context.root)
    options = PostTraining(observer=step.observer, bias_correction=False)  # the training moves biases
    quantized, record = quantize(lowered, batches, policy=_POLICIES[step.runtime], options=options)
    types = weight_types(quantized, step.weights, step.layers, step.edges)
    _require_types(step, types)
    codebooks, said = clusters_of(quantized, types)
    rule = keeping(codebooks)
    start = attach(quantized, types, step.start)
    before = score(absorb(start), evaluate, context.root)

    student, scales = start, _scales(start)
    declined = {island.value: island.reason for island in record.islands}
    parts: dict[str, Tuned] = {}
    settings = step.training or TRAINING
    if learning := step.epochs - step.frozen_epochs:
        student = start.copy()
        declined |= unfold(student, norms, step.start)
        student.verify()
        settings_now = replace(settings, epochs=learning)
        parts["learning"] = tune(student, data, settings_now, step.distillation, context.inside("learning"), rule=rule)
        student = fold(parts["learning"].trained.graph)
        student.verify()
    if step.frozen_epochs:
        slower = replace(settings, epochs=step.frozen_epochs, lr=settings.rate * step.frozen_lr, warmup=0.0)
        parts["frozen"] = tune(student, data, slower, step.distillation, context.inside("frozen"), rule=rule)
        student = parts["frozen"].trained.graph
    trained = absorb(student)
    trained.verify()
    details: dict[str, Any] = {
        "start": before,
        **{name: part.details() for name, part in parts.items()},
        "weights": types,
        "scales": _compared(scales, _scales(student)),
    }
    warnings = (*said, *record.warnings, *[line for part in parts.values() for line in part.warnings])
    notes = tuple(line for part in parts.values() for line in part.notes)
    return recorded("qat", step, graph, trained, started, details=details, warnings=warnings, notes=notes, declined=declined)


def _require_float(graph: Graph) -> None:
    if any(value.quant is not None for value in graph.values()):
        raise Unsupported(
            "training a graph for integers that is quantised already", where=graph.name, hint="start from the float graph"
        )


def _require_types(step: QAT, types: Mapping[str, str]) -> None:
    """UsageError where fewer bits are asked for and no layer would have them."""
    if step.weights == "int8" or step.weights in types.values():
        return
    kept = "the first and the last layer (`edges`), " if step.edges else ""
    raise UsageError(
        f"no weight would be trained in {step.weights}: {kept}depthwise and transposed convolutions keep 8 bits",
        where="weights",
        hint=f'edges = false, or layers = {{ "NAME" = "{step.weights}" }}',
    )


def _scales(graph: Graph) -> dict[str, dict[str, Any]]:
    """Of weights and activations, by the name of what is rounded."""
    found = {}
    for node in graph.nodes:
        if isinstance(node.op, FakeQuantize) and node.op.dtype != "int32":
            value, params = constant_of(node.input(0)) or node.input(0), params_of(node)
            name = value.name if value.is_constant or value.producer is None else node.output.name
            name = node.output.name if name in found else name  # of weights that are rounded in several ways
            found[name] = {"dtype": params.dtype, "zero_point": params.zero_point[0], "scales": sorted(params.scale)}
    return found


def _compared(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Type, zero point, and the smallest, middle and largest scale before and after."""
    return {
        name: {
            "dtype": found["dtype"],
            "zero_point": found["zero_point"],
            "before": _summary(before[name]["scales"]) if name in before else None,
            "after": _summary(found["scales"]),
        }
        for name, found in after.items()
    }


def _summary(scales: list[float]) -> list[float]:
    return [scales[0], scales[len(scales) // 2], scales[-1]]
