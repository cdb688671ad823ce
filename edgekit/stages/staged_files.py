"""A network with early exits as one file a stage beside the artifact: written, run and compared with it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config import BuildRequest, InputSettings
from edgekit.export.staged.graphs import StageGraph, stage_graphs
from edgekit.export.staged.hosts import host_code
from edgekit.export.staged.loop import Answer, Stages
from edgekit.export.staged.manifest import Manifest, Stage, StageTensor, manifest_of, stage_name
from edgekit.formats.io_metadata import FileTensor
from edgekit.ir import Graph
from edgekit.ir.exits import exit_plan
from edgekit.report import StageFile
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import Kernels
from edgekit.stages.artifact import export
from edgekit.stages.feeding import fed, first
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.verify import REFERENCE_SAMPLES, SAMPLES
from edgekit.target import Target

Array = NDArray[Any]

#: Floats of two files of the same network may differ by this share of the largest.
_ROUNDING = 1e-4

#: A score this near to its threshold may fall on either side in another program's float32.
_CLOSE = 1e-5


@dataclass(frozen=True)
class Staged:
    """The files of all stages; none where none were asked for.

    Attributes:
        files: name -> content: the stages, their manifest and the code of hosts.
        rows: what the report tells of each stage.
        warnings: where the staged run differs from the one file.
    """

    files: Mapping[str, bytes]
    rows: tuple[StageFile, ...] = ()
    warnings: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Writes all of them."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def staged_files(
    graph: Graph, target: Target, request: BuildRequest, prepared: Prepared, name: str, whole: bytes, samples: list[Array]
) -> Staged:
    """The stages of a lowered graph as files, with the loop that runs them, where ``request.exits`` is "staged".

    They are run, by that loop, beside the one file.

    Args:
        graph: what was exported.
        target: what the files are for.
        request: of the build.
        prepared: how raw samples become what the graph takes.
        name: of the artifact.
        whole: its content.
        samples: stacked, as the artifact takes them through ``Artifact.run``.

    Raises:
        Unsupported: the network has no early exits.
        RuntimeError: reference kernels give another answer in stages than in one file: an error in edgekit.
    """
    if request.exits != "staged":
        return Staged({})
    parts = stage_graphs(graph)
    contents = _exported(parts, target, request, prepared)
    manifest = _manifest(parts, contents, graph, target, name)
    files = {stage.file: content for stage, content in zip(manifest.stages, contents, strict=True)}
    texts = {f"{name}.stages.json": manifest.text(), **host_code(manifest)}
    files |= {file: text.encode() for file, text in texts.items()}
    taken, warnings = _compared(manifest, files, graph, target, whole, samples)
    rows = tuple(
        StageFile(stage.file, len(content), hashlib.sha256(content).hexdigest(), stage.macs, count)
        for stage, content, count in zip(manifest.stages, contents, taken, strict=True)
    )
    return Staged(files, rows, warnings)


def _exported(parts: Sequence[StageGraph], target: Target, request: BuildRequest, prepared: Prepared) -> list[bytes]:
    """The files; what one hands on in channels-last the next ones take so."""
    inputs = dict(request.inputs)
    contents = []
    for part in parts:
        own = replace(request, inputs={**inputs})
        contents.append(export(part.graph, target, own, prepared))
        for tensor in Artifact(contents[-1]).record.outputs:
            if tensor.file.name in part.handed_on and len(tensor.file.shape) >= 3:
                inputs[tensor.file.name] = InputSettings(io_layout=tensor.layout)
    return contents


def _manifest(parts: Sequence[StageGraph], contents: Sequence[bytes], graph: Graph, target: Target, name: str) -> Manifest:
    plan = exit_plan(graph)
    assert plan is not None
    ends: list[tuple[float, float | None]] = [*zip(plan.op.temperatures, plan.op.thresholds, strict=True), (1.0, None)]
    stages = []
    for number, (part, content, (temperature, threshold)) in enumerate(zip(parts, contents, ends, strict=True)):
        record = Artifact(content).record
        inputs, outputs = (tuple(_tensor(row.file) for row in rows) for rows in (record.inputs, record.outputs))
        file = stage_name(name, number, target.suffix)
        stages.append(Stage(file, part.macs, inputs, outputs, part.logits, part.answers, temperature, threshold))
    return manifest_of(name, plan.op.score, stages)


def _tensor(file: FileTensor) -> StageTensor:
    shape = tuple(1 if size is None else size for size in file.shape)
    return StageTensor(file.name, shape, file.dtype, file.scale, file.zero_point)


def _compared(
    manifest: Manifest, files: Mapping[str, bytes], graph: Graph, target: Target, whole: bytes, samples: list[Array]
) -> tuple[list[int], tuple[str, ...]]:
    """How many samples each stage answered, and what to warn of."""
    warnings = []
    with tempfile.TemporaryDirectory(prefix="edgekit-stages-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        path = folder / f"{manifest.name}.stages.json"
        taken, different = _run(path, graph, whole, first(samples, graph, SAMPLES), "default")
        if different:
            warnings.append(
                f"{different} of {sum(taken)} samples come out of the staged files otherwise than out of the one file: "
                "the runtime's kernels compute them in another order"
            )
        if target.exporter == "tflite" and target.quantization.needs_calibration:
            few, different = _run(path, graph, whole, first(samples, graph, REFERENCE_SAMPLES), "reference")
            if different:
                raise RuntimeError(
                    f"the stages of {manifest.name} differ from the one file in {different} of {sum(few)} samples"
                )
    return taken, tuple(warnings)


def _run(path: Path, graph: Graph, whole: bytes, samples: list[Array], kernels: Kernels) -> tuple[list[int], int]:
    """How many samples each stage answered, and how many answers are not those of the one file."""
    file = Artifact(whole, kernels=kernels)
    stages = Stages(path, lambda stage: _runner(stage, kernels))
    taken, different = [0] * len(stages.manifest["stages"]), 0
    names = [tensor.file.name for tensor in file.record.inputs]
    for arrays in fed(samples, graph, 1):
        stored = file.stored(arrays)
        answer = stages.run(dict(zip(names, stored, strict=True)))
        taken[answer.stage] += 1
        wanted = {row.file.name: array for row, array in zip(file.record.outputs, file.invoke(stored), strict=True)}
        different += not (_same(answer, wanted) or _is_close(stages, answer, dict(zip(names, stored, strict=True))))
    return taken, different


def _runner(path: Path, kernels: Kernels) -> Callable[[Mapping[str, Array]], Mapping[str, Array]]:
    file = Artifact(path.read_bytes(), kernels=kernels)
    inputs, outputs = ([row.file.name for row in rows] for rows in (file.record.inputs, file.record.outputs))

    def call(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return dict(zip(outputs, file.invoke([arrays[name] for name in inputs]), strict=True))

    return call


def _same(answer: Answer, wanted: Mapping[str, Array]) -> bool:
    """Integers are equal; floats but for rounding."""
    for name, array in answer.outputs.items():
        other = wanted[name]
        if array.dtype.kind != "f":
            if not np.array_equal(array, other):
                return False
        elif np.abs(array - other).max() > _ROUNDING * max(float(np.abs(other).max()), 1.0):
            return False
    return True


def _is_close(stages: Stages, answer: Answer, inputs: dict[str, Array]) -> bool:
    """Whether a score on the way came so near to its threshold that rounding decides."""
    tensors, outputs = dict(inputs), dict[str, Array]()
    for number in range(answer.stage + 1):
        stages.step(number, tensors, outputs)
        score, threshold = stages.score(number, tensors), stages.manifest["stages"][number]["threshold"]
        if threshold is not None and abs(float(score) - threshold) < _CLOSE:
            return True
    return False
