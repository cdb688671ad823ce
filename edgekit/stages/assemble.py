"""Everything that was done and measured, as a report."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import __version__
from edgekit.alone_errors import alone_errors
from edgekit.compress.quantize.borders import FloatIsland
from edgekit.compress.quantize.sensitivity import logits
from edgekit.config import BuildRequest, is_reference
from edgekit.errors import InputError
from edgekit.formats.tflite.read import read as read_tflite
from edgekit.formats.tflite.signatures import signature_warning
from edgekit.ir import Graph
from edgekit.ir.graph_json import portable
from edgekit.layer_errors import layer_errors
from edgekit.report import BudgetCheck, Evaluation, Report, SensitivityInfo, SourceInfo, Verification
from edgekit.report.from_artifact import artifact_info, io_info
from edgekit.report.from_graph import graph_summary, layers, pass_info
from edgekit.runtime.artifact import Artifact
from edgekit.stages.baseline import check_growth, read_baseline
from edgekit.stages.feeding import batches, count_of, first
from edgekit.stages.larq import with_bits
from edgekit.stages.micro import MicroFacts
from edgekit.stages.precision import Lowered
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.quantization_info import quantization_info
from edgekit.stages.streaming import Streamed
from edgekit.target import Device, Target

#: Samples on which the error of every layer is measured: so many, fewer (but some) where a network's values are this large.
_LAYER_SAMPLES = (4, 16)
_LAYER_ELEMENTS = 32 << 20

#: What finding the error of each layer alone may cost, in multiply-accumulates: little beside a build, more where that is what
#: the user must know.
_EFFORT = 200_000_000
_EFFORT_AFTER_FAILURE = 20_000_000_000

#: What a measurement calls a limit -> its key in a device's budget, which says the unit.
_BUDGET_KEYS = {
    "latency_p95": "p95_latency_ms",
    "memory": "peak_memory_bytes",
    "model_size": "model_bytes",
    "arena": "arena_bytes",
}

#: Percentage points of top-1 beyond which a loss is pointed out where the user set no limit.
_MUCH_LOST = 1.0

#: Below it an artifact that passed its floor carries a warning.
_LOW_SQNR_DB = 20.0


def assemble(
    request: BuildRequest,
    target: Target,
    device: Device | None,
    source: Graph,
    lowered: Lowered,
    prepared: Prepared,
    path: Path,
    verification: tuple[Verification, ...],
    evaluation: tuple[Evaluation, ...],
    raw: list[np.ndarray[Any, Any]],
    timings: dict[str, float],
    micro: MicroFacts,
    sensitivity: SensitivityInfo | None = None,
    stream: Streamed | None = None,
) -> Report:
    """The report of one target; the artifact must lie at ``path``. ``stream``: what it is of a model on frames."""
    exported = lowered.graph if stream is None else stream.graph
    reasons = {}
    warnings = [f"{step.step}: {line}" for step in lowered.float_graph.history for line in step.warnings]
    warnings += [*micro.warnings, *lowered.warnings]
    if target.exporter == "tflite" and (said := signature_warning(read_tflite(path.read_bytes()))) is not None:
        warnings.append(said)
    if lowered.quantization is not None:
        reasons = {island.value: island.reason for island in lowered.quantization.islands}
        warnings += _stay_float(lowered.quantization.islands)
    warnings += [
        f"the artifact is {row.sqnr_db:.1f} dB from the {row.against}: check its accuracy with --evaluate"
        for row in verification
        if row.against != "simulation" and row.passed and row.sqnr_db < _LOW_SQNR_DB
    ]
    warnings += _lost(evaluation)
    labels = _labels(request)
    warnings += _check_labels(labels, lowered.graph)
    errors, alone = None, None
    if lowered.graph is not lowered.float_graph:
        per_sample = sum(v.type.numel() for v in lowered.graph.values() if not v.is_constant)
        least, most = _LAYER_SAMPLES
        count = max(least, min(most, _LAYER_ELEMENTS // max(per_sample, 1)))
        some = first(prepared.taken(raw), lowered.graph, count)
        errors = layer_errors(lowered.float_graph, lowered.graph, batches(some, lowered.graph))
        failed = any(not row.passed for row in verification)
        alone = _alone(lowered, first(some, lowered.graph, least), _EFFORT_AFTER_FAILURE if failed else _EFFORT)
    report = Report(
        source=_source_info(request, source, lowered.notes),
        target=target.name,
        tools=_tools(target),
        source_graph=graph_summary(source),
        graph=graph_summary(exported),
        device=None if device is None else device.name,
        config=_config(request),
        history=tuple(dataclasses.asdict(step) for step in lowered.float_graph.history),
        passes=pass_info(lowered.passes),
        artifact=artifact_info(path, relative_to=path.parent, arena_bytes=micro.arena_bytes),
        io=io_info(Artifact(path).record, path.name, labels, exported.stream),
        layers=with_bits(layers(exported, errors, alone, reasons), exported, target),
        quantization=quantization_info(lowered, request.quantization, sensitivity, target.runtime),
        verification=verification,
        evaluation=evaluation,
        budget=_device_checks(path, device),
        warnings=tuple(warnings),
        timings=timings,
        drawing=_drawing(exported),
        streaming=None if stream is None else stream.info,
    )
    if request.baseline is not None:
        before = read_baseline(request.baseline, target.name)
        if before is not None:
            growth = check_growth(report.as_dict(), before, request.max_growth)
            report = dataclasses.replace(report, budget=(*report.budget, *growth))
        else:
            note = f"the baseline {request.baseline.name} has no report for {target.name}"
            report = dataclasses.replace(report, warnings=(*report.warnings, note))
    return report


def _lost(evaluation: Sequence[Evaluation]) -> list[str]:
    return [
        f"top1 fell from {row.source:.4f} to {row.artifact:.4f}: `--max-drop POINTS` sets what may be lost"
        for row in evaluation
        if row.metric == "top1" and row.allowed_drop is None and row.drop is not None and row.drop > _MUCH_LOST
    ]


def _alone(lowered: Lowered, samples: list[np.ndarray[Any, Any]], effort: int) -> dict[str, float]:
    """The error of each layer alone, on as many samples as the effort allows; nothing where it is too little for one."""
    names = [value.name for value in logits(lowered.float_graph)]
    count = count_of(samples, lowered.graph)
    while count:
        batch = batches(first(samples, lowered.graph, count), lowered.graph)[0]
        if found := alone_errors(lowered.float_graph, lowered.graph, batch, names, effort=effort):
            return found
        count //= 2
    return {}


def _stay_float(islands: Sequence[FloatIsland]) -> list[str]:
    """One sentence for each kind of op and reason; the report's layers name every place."""
    alike: dict[tuple[str, str], list[FloatIsland]] = {}
    for island in islands:
        alike.setdefault((island.op, island.reason), []).append(island)
    return [
        f"'{op}' stays float ({portable(same[0].where)}): {reason}"
        if len(same) == 1
        else f"'{op}' stays float in {len(same)} places (the first is {portable(same[0].where)}): {reason}"
        for (op, reason), same in alike.items()
    ]


def _source_info(request: BuildRequest, graph: Graph, notes: Sequence[str]) -> SourceInfo:
    reference = is_reference(request.model)
    file = _module_file(request.model) if reference else Path(request.model)
    weights = request.weights
    return SourceInfo(
        model=request.model if reference else file.name if file else request.model,
        name=request.name or graph.name,
        format="torch" if reference or file is None or not file.is_file() else file.suffix.lstrip("."),
        sha256=_sha256(file),
        weights=None if weights is None else weights.name,
        weights_sha256=_sha256(weights),
        notes=(*graph.notes, *notes),
    )


def _module_file(reference: str) -> Path | None:
    """The source file of ``package.module:callable``, which has been imported by now."""
    module = sys.modules.get(reference.partition(":")[0])
    name = getattr(module, "__file__", None)
    return None if name is None else Path(name)


def _sha256(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None


def _tools(target: Target) -> dict[str, str]:
    import platform

    runtime = ("onnx", "onnxruntime") if target.exporter == "onnx" else ("ai-edge-litert", "flatbuffers")
    names = ("torch", "numpy", *runtime)
    return {"edgekit": __version__, "python": platform.python_version(), **{n: metadata.version(n) for n in names}}


def _config(request: BuildRequest) -> dict[str, Any]:
    """The options that were set, without what only says where things lie."""
    left_out = {
        "root",
        "output",
        "json",
        "force",
        "dump",
        "depfile",
        "config_file",
        "model",
        "weights",
        "targets",
        "name",
        "device",
    }
    config = {}
    for item in dataclasses.fields(request):
        value = getattr(request, item.name)
        default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        if item.name in left_out or value == default:
            continue
        config[item.name] = _plain(value)
        if item.name in ("train", "calibration", "evaluate") and isinstance(value, str) and not is_reference(value):
            config[item.name] = Path(value).name  # a report says nothing of the machine's folders
    return config


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: _plain(v) for k, v in dataclasses.asdict(value).items() if v is not None}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return Path(value).name if isinstance(value, Path) else value


def _labels(request: BuildRequest) -> tuple[str, ...]:
    if request.labels is None:
        return ()
    try:
        return tuple(line.strip() for line in request.labels.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot read the labels: {reason}", where=request.labels, hint="one name a line, as UTF-8") from error


def _check_labels(labels: tuple[str, ...], graph: Graph) -> list[str]:
    """A warning where there are more or fewer names than classes."""
    shape = graph.outputs[0].tensor_shape if graph.outputs else ()
    if not labels or len(shape) != 2 or len(labels) == shape[1]:
        return []
    return [f"there are {len(labels)} labels, and the output '{graph.outputs[0].name}' has {shape[1]} classes"]


def _device_checks(path: Path, device: Device | None) -> tuple[BudgetCheck, ...]:
    if device is None:
        return ()
    from edgekit.bench.budget import Verdict, check_artifact

    return tuple(
        BudgetCheck(
            _BUDGET_KEYS.get(c.name, c.name),
            c.limit,
            c.value,
            "device",
            {Verdict.PASS: True, Verdict.FAIL: False}.get(c.verdict),
            c.reason,
        )
        for c in check_artifact(path, device)
    )


def _drawing(graph: Graph) -> str:
    from edgekit.ir.drawing import to_svg

    return to_svg(graph)
