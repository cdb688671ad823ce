"""The report of one build for one target: everything that was done, measured and declined, as plain data.

``Report.as_dict()`` is the content of ``report.json`` (``edgekit.report/1``); its schema is
``edgekit/report/report.schema.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import PurePath
from typing import Any, Literal

from edgekit.formats.description import SizeBreakdown
from edgekit.report.quantization import QuantizationInfo
from edgekit.report.stream_info import StreamInfo

SCHEMA = "edgekit.report/1"

#: SQNR in files: JSON has no infinity, so equal outputs are given as this many dB (float32 reaches about 150), NaN as its
#: negative.
SQNR_LIMIT_DB = 200.0

Status = Literal["good", "over_budget", "below_floor"]


@dataclass(frozen=True)
class SourceInfo:
    """What was built.

    Attributes:
        model: as given: ``package.module:callable`` or a file's name.
        name: of the artifact.
        format: "torch", "pt2", "ekg", "onnx", "tflite", "keras" ...
        sha256: of the model file, or of the callable's source files.
        weights: file of weights, or None.
        weights_sha256: of that file.
        notes: what the user may want to know (what acts in training only, a static batch, what a target leaves aside ...).
    """

    model: str
    name: str
    format: str = "torch"
    sha256: str | None = None
    weights: str | None = None
    weights_sha256: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphSummary:
    """A graph in five numbers.

    Attributes:
        nodes: number of ops.
        macs: multiply-accumulates of one sample.
        parameters: elements of all parameters.
        weight_bytes: bytes of the constants that ops read: integers where they carry ``quant``, else floats.
        peak_memory_bytes: largest sum of activations alive at once, batch 1, in their stored types.
    """

    nodes: int
    macs: int
    parameters: int
    weight_bytes: int
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Declined:
    """A place where a pass or a step could have acted and did not."""

    name: str
    reason: str
    where: str = ""


@dataclass(frozen=True)
class PassInfo:
    """What one exact pass did."""

    name: str
    rewrites: int
    declined: tuple[Declined, ...] = ()


@dataclass(frozen=True)
class ArtifactInfo:
    """The file that was written.

    Attributes:
        path: relative to the report.
        bytes: its size.
        sha256: of its content.
        format: "tflite" or "onnx".
        operators: number of ops of each kind.
        sizes: where its bytes go.
        peak_memory_bytes: largest sum of activations alive at once; no arena can be smaller.
        arena_bytes: TFLite Micro's arena as measured, or None.
    """

    path: str
    bytes: int
    sha256: str
    format: Literal["tflite", "onnx"]
    operators: Mapping[str, int]
    sizes: SizeBreakdown | None = None
    peak_memory_bytes: int | None = None
    arena_bytes: int | None = None


@dataclass(frozen=True)
class StageFile:
    """One stage of a network with early exits, as a file of its own beside the artifact.

    Attributes:
        path: relative to the report.
        bytes: its size.
        sha256: of its content.
        macs: multiply-accumulates of one sample in it.
        answered: how many of the compared samples it answered.
        arena_bytes: TensorFlow Lite Micro's arena for it, measured; None for other runtimes.
    """

    path: str
    bytes: int
    sha256: str
    macs: int
    answered: int
    arena_bytes: int | None = None


@dataclass(frozen=True)
class IoTensor:
    """An input or output of the artifact.

    Attributes:
        name: in the file's signature.
        shape: of the file; None for a dimension that the caller chooses.
        source_shape: in the source's order of axes, None for the batch.
        layout: "source", or "channels_last" where the file moved axis 1 to the end.
        dtype: numpy's name.
        scale: ``real = scale * (stored - zero_point)``; None where the tensor is not quantised.
        zero_point: 0 where it is not.
        preprocessing: what the artifact itself applies to raw input: ``{"scale", "mean", "std", "layout"}``, or None.
    """

    name: str
    shape: tuple[int | None, ...]
    source_shape: tuple[int | None, ...]
    layout: Literal["source", "channels_last"]
    dtype: str
    scale: float | None = None
    zero_point: int = 0
    preprocessing: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class IoInfo:
    """How the artifact is fed and read.

    Attributes:
        inputs, outputs: in the file's order.
        labels: names of the classes of the first output, or none.
        snippets: source code that feeds it, by language ("python", "kotlin").
    """

    inputs: tuple[IoTensor, ...]
    outputs: tuple[IoTensor, ...]
    labels: tuple[str, ...] = ()
    snippets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One op of the graph that was exported.

    Attributes:
        name: of its first output.
        op: the op's name in edgekit's table.
        where: place in the user's source.
        shape: of its first output at batch 1.
        dtype: in which it is computed: "int8", "float32" ...
        macs: multiply-accumulates of one sample.
        weight_bytes: bytes of its constants in the artifact.
        scale: smallest and largest scale of its output, None for float.
        weight_scales: number of scales of its weight: 0 float, 1 per tensor, above per channel.
        module: for an op with weights, path of the module in the source that it stands for (a convolution's, where a batch
            norm and an activation were folded into it); else empty.
        sqnr_db: of its output against the float graph's, both fed the same inputs: the error of this layer and of all
            before it.
        alone_sqnr_db: of the model's output when this layer alone is quantised: the error that this layer causes; None
            where it was not measured.
        float_reason: why it stays float in an integer model, or None.
    """

    name: str
    op: str
    where: str
    shape: tuple[int, ...]
    dtype: str
    macs: int = 0
    weight_bytes: int = 0
    scale: tuple[float, float] | None = None
    weight_scales: int = 0
    sqnr_db: float | None = None
    alone_sqnr_db: float | None = None
    float_reason: str | None = None
    module: str = ""

    @property
    def label(self) -> str:
        """What a reader knows the layer by."""
        return self.module or self.name


@dataclass(frozen=True)
class Verification:
    """The artifact, run and compared.

    Attributes:
        against: "source" (the user's model), "graph" (ours, float or fake-quantised), "simulation" (our integer arithmetic), or
            "windows": of a stream, the file that takes whole windows.
        runtime: what ran the artifact, with its ``version``.
        kernels: "default" (what an app gets), "reference", or "builtin" (optimised, where an op has no reference kernel).
        samples: how many inputs were compared.
        sqnr_db: signal to noise of the outputs.
        max_abs_error: largest difference of an output element.
        top1_agreement: share of samples with the same largest output, None where outputs are no scores.
        equal_integers: share of equal output integers (against the simulation), else None.
        floor_db, floor_agreement: what the target demands of this row; None: nothing.
        passed: whether it is met.
    """

    against: Literal["source", "graph", "simulation", "windows"]
    runtime: str
    version: str
    kernels: str
    samples: int
    sqnr_db: float
    max_abs_error: float
    top1_agreement: float | None = None
    equal_integers: float | None = None
    floor_db: float | None = None
    floor_agreement: float | None = None
    passed: bool = True


@dataclass(frozen=True)
class Evaluation:
    """One of the user's metrics, on each form of the model; None where it was not measured.

    Attributes:
        metric: its name.
        source, graph, artifact: of the model as it was given, after the recipe, and of the file.
        allowed_drop: percentage points by which the artifact may be below the source; None for no limit.
    """

    metric: str
    source: float | None
    graph: float | None
    artifact: float | None
    allowed_drop: float | None = None

    @property
    def drop(self) -> float | None:
        """Percentage points from source to artifact, of a metric that is a share."""
        if self.source is None or self.artifact is None:
            return None
        return 100.0 * (self.source - self.artifact)

    @property
    def passed(self) -> bool:
        """False where the metric fell by more than was allowed; the tolerance is that of the subtraction."""
        return self.allowed_drop is None or self.drop is None or self.drop <= self.allowed_drop + 1e-9


@dataclass(frozen=True)
class BudgetCheck:
    """One limit of the device or of the baseline.

    Attributes:
        name: "model_bytes", "arena_bytes", "peak_memory_bytes", "instructions", "p95_latency_ms", ...
        limit: what it may be.
        value: what it is; None where this machine can't measure it.
        origin: "device" or "baseline".
        passed: None where it was not measured.
        note: why it was not measured, or how.
    """

    name: str
    limit: float
    value: float | None
    origin: Literal["device", "baseline"] = "device"
    passed: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """One build for one target.

    Attributes:
        source, target, device: what was built for what; names of target and device are those of their files.
        tools: name -> version of everything that took part: edgekit, python, torch, the runtimes.
        config: the options of this build as plain data, defaults left out.
        source_graph: the graph as it was read.
        graph: the graph that was exported.
        history: one record a compression step, as ``StepRecord.as_dict`` gives it.
        passes: the exact passes in order, those without any effect left out if they declined nothing.
        artifact: None where none was written (parity below the floor).
        stages: the same network as one file a stage, where that was asked for.
        io: how the artifact is fed and read.
        layers: one row an op.
        quantization: how the graph was quantised after training; None where it was not.
        verification, evaluation, budget: what was measured.
        warnings: what the user should look at.
        timings: seconds of each stage, in order.
        streaming: how the artifact is called frame by frame; None for one on windows.
        drawing: the graph as SVG, for report.html; not part of report.json.
    """

    source: SourceInfo
    target: str
    tools: Mapping[str, str]
    source_graph: GraphSummary
    graph: GraphSummary
    device: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    passes: tuple[PassInfo, ...] = ()
    artifact: ArtifactInfo | None = None
    stages: tuple[StageFile, ...] = ()
    io: IoInfo | None = None
    layers: tuple[Layer, ...] = ()
    quantization: QuantizationInfo | None = None
    verification: tuple[Verification, ...] = ()
    evaluation: tuple[Evaluation, ...] = ()
    budget: tuple[BudgetCheck, ...] = ()
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    streaming: StreamInfo | None = None
    drawing: str | None = field(default=None, repr=False)

    @property
    def status(self) -> Status:
        """Worst of what was checked: parity and accuracy count more than the budget."""
        if not (all(row.passed for row in self.verification) and all(row.passed for row in self.evaluation)):
            return "below_floor"
        return "over_budget" if any(check.passed is False for check in self.budget) else "good"

    def as_dict(self) -> dict[str, Any]:
        """The content of report.json."""
        content = {name: value for name, value in _plain(self).items() if name != "drawing"}
        return {"schema": SCHEMA, "status": self.status, **content}


def _plain(value: Any) -> Any:
    """Dataclasses, mappings, tuples and paths as JSON; numbers that JSON lacks are bounded."""
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, bool | int | str | None):
        return value
    number = float(value)
    if number != number:
        return -SQNR_LIMIT_DB
    return max(-SQNR_LIMIT_DB, min(SQNR_LIMIT_DB, number)) if number in (float("inf"), float("-inf")) else number
