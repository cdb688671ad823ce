"""The flow: a model goes in, and for every target a verified artifact with its report comes out.

source -> graph -> compression steps -> exact passes -> quantisation -> file -> run and compared -> report
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgekit.build_options import checked, require_texts
from edgekit.config import BuildRequest, is_unnamed
from edgekit.errors import EdgekitError, ParityError, UsageError, exit_code_of
from edgekit.fingerprint import BuildRecord, is_up_to_date, touch_outputs
from edgekit.output import exclusive, whole_folder, write_whole, writing
from edgekit.stages.builds import Build, summary
from edgekit.target import Device, Target

if TYPE_CHECKING:
    from edgekit.compress.steps import Step
    from edgekit.ir import Graph
    from edgekit.report import Evaluation
    from edgekit.stages.widths import Variant


_Fact = TypeVar("_Fact", Target, Device)


@dataclass
class _Job:
    """One build in progress: what was asked, and what to tell."""

    request: BuildRequest
    targets: tuple[Target, ...]
    device: Device | None
    calibration: object | None
    evaluation: object | None
    say: Callable[[str], None]
    steps: Sequence[Step] = ()
    train: object | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage and says that it began."""
        self.say(name)
        started = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - started


def build(
    model: object,
    target: str | Path | Sequence[str | Path] = "tflite-int8",
    *,
    calibration: object | None = None,
    evaluate: object | None = None,
    recipe: object = (),
    train: object | None = None,
    output: str | Path = "edgekit-out",
    example_inputs: object | None = None,
    weights: str | Path | None = None,
    name: str | None = None,
    device: str | Path | None = None,
    **options: Any,
) -> Any:
    """Builds artifacts: the Python door of ``edgekit build``.

    Args:
        model: a Graph, an ``nn.Module`` (with ``example_inputs``), ``"package.module:callable"`` or a model file.
        target: name or path of a target file, or several: then a list of builds comes back.
        calibration: typical inputs, for integer targets: an .npz path, arrays, batches or a callable's name.
        evaluate: labelled data, or ``predict -> {metric: value}``.
        recipe: compression before all targets: a ``Recipe``, steps in order, or tables as ``[[recipe]]`` has them.
        train: training data of the recipe: an .npz path, arrays, a Dataset, a loader or a callable's name.
        output: folder; each target is written whole or not at all.
        example_inputs: as ``edgekit.load`` takes them.
        weights: checkpoint to load into the model.
        name: of the artifact; the graph's by default.
        device: whose budget is binding.
        options: further fields of ``edgekit.config.BuildRequest`` (``io``, ``batch``, ``inputs``, ``quantization``,
            ``strict``, ``training``, ``max_drop`` ...).

    Returns:
        A :class:`Build`, or a list of them where several targets were given.

    Raises:
        EdgekitError: the first failure, after every other target has been finished.
    """
    from edgekit.compress.steps import steps_and_tables
    from edgekit.frontend.source import load
    from edgekit.train.settings import Training

    require_texts(target=target, output=output, weights=weights, name=name, device=device)
    several = not isinstance(target, str | Path)
    targets = tuple(str(t) for t in target) if several else (str(target),)  # type: ignore[union-attr]
    steps, tables = steps_and_tables(recipe)
    if isinstance(options.get("training"), Training):
        options["training"] = options["training"].options()
    settings = checked(options, inspect.signature(build).parameters)
    request = BuildRequest(
        model=model if isinstance(model, str) else str(model) if isinstance(model, Path) else type(model).__name__,
        root=Path.cwd(),
        targets=targets,
        output=Path(output).absolute(),
        weights=None if weights is None else Path(weights),
        name=name,
        device=None if device is None else str(device),
        train=train if isinstance(train, str) else None,
        recipe=tables,
        **settings,
    )
    job = _job(request, calibration, evaluate, lambda text: None, steps=steps, train=train)
    shapes = _shapes(request) if example_inputs is None else None
    graph = load(model, example_inputs, weights=weights, input_shapes=shapes, root=request.root, name=name)
    with exclusive(request.output):
        builds = _build_all(job, graph)
    for made in builds:
        if made.error is not None:
            raise made.error
    return builds if several else builds[0]


def build_from_request(request: BuildRequest) -> int:
    """Does what ``edgekit build`` asks for, prints what came of it, and returns the exit code."""
    from edgekit.stages.show import show_builds, show_up_to_date, teller

    job = _job(request, request.calibration, request.evaluate, teller(), train=request.train)
    with exclusive(request.output):
        if is_up_to_date(request.output, request):
            if request.depfile is not None:
                touch_outputs(request.output, request)
            show_up_to_date(request)
            return 0
        record = BuildRecord(request)
        # What the user's code prints is not part of the one document that --json promises.
        with record.watching(), redirect_stdout(sys.stderr) if request.json else nullcontext():
            graph = _load(job)
            builds = _build_all(job, graph)
        _write_summary(request.output, builds)
        code = exit_code_of([b.error for b in builds if b.error is not None])
        if code == 0:
            record.write(_written(request.output, builds), main=builds[0].artifact)
    show_builds(request, builds)
    for built in builds:
        if built.error is not None and not isinstance(built.error, EdgekitError):
            raise built.error
    return code


def _job(
    request: BuildRequest,
    calibration: object | None,
    evaluation: object | None,
    say: Callable[[str], None],
    *,
    steps: Sequence[Step] | None = None,
    train: object | None = None,
) -> _Job:
    """Everything that can be known to be wrong before anything heavy is imported; ``steps`` stand for the request's tables."""
    targets = tuple(_fact(Target, name, "target", request) for name in request.targets)
    if len({t.name for t in targets}) < len(targets):
        raise UsageError(
            "two targets have one name",
            where=", ".join(str(t.path) for t in targets),
            hint="name each once; the name of a target file is that of its folder in the output",
        )
    device = None if request.device is None else _fact(Device, request.device, "device", request)
    if request.training and steps is not None:
        raise UsageError(
            "'training' fills in tables of a recipe, and this one has steps", where="edgekit.build", hint="set it in the steps"
        )
    if request.max_drop is not None and evaluation is None:
        raise UsageError(
            "'max_drop' limits what a metric may lose, and there is no data to measure one on",
            where=request.config_file or "--max-drop",
            hint="--evaluate, an .npz with inputs and labels",
        )
    if request.recipe or request.training:
        from edgekit.compress.steps import parse_steps

        steps = parse_steps(request.recipe, request.config_file, request.training) if steps is None else steps
    if steps:
        from edgekit.stages.ahead import require_use

        require_use(steps, targets, request)
    return _Job(request, targets, device, calibration, evaluation, say, steps or (), train)


def _fact(kind: type[_Fact], name: str, option: str, request: BuildRequest) -> _Fact:
    """A target or device; one that is unknown may have been named in either place."""
    try:
        return kind.load(name)
    except UsageError as error:
        if request.config_file is None:
            raise
        raise UsageError(error.what, where=f"{request.config_file}, or --{option}", hint=error.hint) from None


def _load(job: _Job) -> Graph:
    from edgekit.frontend.source import load

    request = job.request
    with job.stage("load"):
        return load(request.model, weights=request.weights, input_shapes=_shapes(request), root=request.root, name=request.name)


def _shapes(request: BuildRequest) -> list[str] | None:
    """The declared shapes as ``edgekit.load`` takes them; None where there are none."""
    shapes = []
    for name, settings in request.inputs.items():
        if settings.shape is not None:
            text = ",".join(map(str, settings.shape)) + (f":{settings.dtype}" if settings.dtype else "")
            shapes.append(text if is_unnamed(name) else f"{name}={text}")
    return shapes or None


def _build_all(job: _Job, graph: Graph) -> list[Build]:
    """Every target on its own: one that fails leaves the others alone."""
    from edgekit.stages.evaluate import read
    from edgekit.stages.inputs import load_samples, settings_of

    settings = settings_of(graph, job.request.inputs)
    samples = None
    if job.calibration is not None:
        with job.stage("data"):
            samples = load_samples(job.calibration, graph, settings, job.request.root)
    if job.request.dump is not None:
        _dump(job.request.dump, "0-source", graph)
    compressed = _compress(job, graph, settings, samples)
    if job.evaluation is not None:
        with job.stage("data"):
            job = replace(job, evaluation=read(job.evaluation, graph, settings, job.request.root))
    from edgekit.stages.widths import build_sizes

    def one(variant: Variant) -> Build:
        return _build_one(replace(job, timings=dict(job.timings)), graph, variant, settings, samples)

    return [made for target in job.targets for made in build_sizes(one, compressed, target, job.request.output)]


def _compress(job: _Job, graph: Graph, settings: Mapping[str, Any], samples: list[Any] | None) -> Graph:
    """The graph after the recipe, once for all targets; the graph itself where there is none."""
    if not job.steps:
        return graph
    from edgekit.stages.candidate import TargetFile
    from edgekit.stages.recipe import compress

    with job.stage("recipe"):
        compressed = compress(
            job.steps,
            graph,
            settings,
            train=job.train,
            samples=samples,
            evaluation=job.evaluation,
            output=job.request.output,
            root=job.request.root,
            say=job.say,
            file=TargetFile(job.targets[0], job.request, settings, samples),
        )
    if job.request.dump is not None:
        _dump(job.request.dump, "0-compressed", compressed)
    return compressed


def _build_one(job: _Job, source: Graph, variant: Variant, settings: Mapping[str, Any], samples: list[Any] | None) -> Build:
    """One target, from the graph to the report. The order of the lines is the order of the work.

    ``source`` is the graph as it was loaded, ``variant`` the one after the recipe, or a size of it, with the target. What a
    smaller size was made to lose is no loss of its file: that is scored beside the size's own graph.
    """
    from edgekit.stages.artifact import export
    from edgekit.stages.assemble import assemble
    from edgekit.stages.c_files import c_code
    from edgekit.stages.evaluate import evaluate, verification_samples
    from edgekit.stages.exits_in_file import with_exits_of_file
    from edgekit.stages.feeding import batches
    from edgekit.stages.io_types import byte_inputs, io_types
    from edgekit.stages.layer_sensitivity import layer_sensitivity
    from edgekit.stages.micro import write_micro_files, write_stage_sources
    from edgekit.stages.mixed import score_of
    from edgekit.stages.precision import lower
    from edgekit.stages.preprocessing import prepare
    from edgekit.stages.staged_files import staged_files
    from edgekit.stages.streaming import streamed
    from edgekit.stages.verdict import failure
    from edgekit.stages.verify import verify
    from edgekit.stages.widths import OWN_SCORE

    request, graph, target = job.request, variant.graph, variant.target
    quantized = target.quantization.needs_calibration
    types = io_types(graph, target, request, settings)
    prepared = prepare(graph, settings, bytes_in=byte_inputs(types, graph, samples))
    with job.stage("quantize" if quantized else "optimize"):
        calibration = None if samples is None else batches(prepared.taken(samples), prepared.graph)
        wanted = request.quantization
        by_metric = wanted.fallback is not None or (wanted.budget is not None and wanted.budget.max_drop is not None)
        score = score_of(job.evaluation, prepared, source, settings, request.root) if by_metric else None
        lowered = lower(prepared, target, calibration, request, types, job.say, score, variant.within, variant.is_slimmable)
        variant.family.keep(lowered)
    if request.dump is not None:
        _dump(request.dump, f"{target.name}-1-float", lowered.float_graph)
        _dump(request.dump, f"{target.name}-2-lowered", lowered.graph)
    with job.stage("export"):
        content = export(lowered.graph, target, request, prepared, regular=variant.is_slimmable)
    with job.stage("evaluate") if job.evaluation is not None else nullcontext():
        content = with_exits_of_file(
            lowered, content, job.evaluation, source, settings, lambda g: export(g, target, request, prepared)
        )
    raw, real = verification_samples(samples, job.evaluation, graph, settings)
    with job.stage("verify"):
        rows = verify(
            content,
            lambda g: export(g, target, request, prepared),
            lowered.graph,
            lowered.float_graph,
            graph,
            raw,
            prepared.normalized(raw),
            prepared.taken(raw),
            target,
            full=quantized,
            against="source" if graph is source else "graph",
            real=real,
        )
        code = c_code(lowered.graph, target, request.name or graph.name, prepared.taken(raw))
        rows = (*rows, *code.rows)
        staged = staged_files(lowered.graph, target, request, prepared, request.name or graph.name, content, raw)
    stream = None
    if request.streaming is not None:
        with job.stage("stream"):
            stream = streamed(
                lowered.graph, content, lambda g: export(g, target, request, prepared), request.streaming, raw, target
            )
            rows = (*rows, *stream.rows)
    scores: tuple[Evaluation, ...] = ()
    if job.evaluation is not None:
        beside = graph if variant.is_smaller else source
        with job.stage("evaluate"):
            scores = evaluate(
                job.evaluation, beside, lowered.graph, prepared, content, settings, request.root, request.max_drop
            )
    sensitivity = None
    if quantized and request.quantization.sensitivity:
        with job.stage("sensitivity"):
            sensitivity = layer_sensitivity(lowered, prepared, raw, job.evaluation, source, settings, request.root, say=job.say)
    name = request.name or graph.name
    with whole_folder(request.output, target.name) as folder:
        path = folder / f"{name}{target.suffix}"
        with writing(folder):
            path.write_bytes(content if stream is None else stream.content)
        code.write(folder)
        staged.write(folder)
        micro = write_micro_files(path, target)
        stages = write_stage_sources(folder, staged.rows, target)
        micro = replace(micro, warnings=(*micro.warnings, *code.warnings, *staged.warnings))
        facts = (job.timings, micro, sensitivity, stream)
        report = assemble(request, target, job.device, source, lowered, prepared, path, rows, scores, raw, *facts)
        own = (OWN_SCORE,) if variant.is_smaller and scores else ()
        source_info = replace(report.source, notes=(*report.source.notes, *code.notes, *own))
        report = replace(report, source=source_info, stages=stages)
        error = failure(report, target, request)
        if isinstance(error, ParityError):
            for written in folder.iterdir():
                written.unlink()
            report = replace(report, artifact=None, io=None, stages=())
        from edgekit.report.files import write

        write(report, folder)
    final = request.output / target.name / path.name
    return Build(target.name, None if isinstance(error, ParityError) else final, report, error)


def _dump(folder: Path, name: str, graph: Graph) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        graph.save(folder / f"{name}.ekg")
        (folder / f"{name}.txt").write_text(graph.text())


def _write_summary(output: Path, builds: Sequence[Build]) -> None:
    write_whole(output / "summary.json", json.dumps(summary(builds), indent=2) + "\n")


def _written(output: Path, builds: Sequence[Build]) -> list[Path]:
    named = [b.target for b in builds if b.report is not None]
    folders = [f for name in named for f in (output / name, output / f"{name}-sizes") if f.is_dir()]
    # Without summary.json: it is of the last build into this folder, whatever its targets were.
    return [p for f in folders for p in sorted(f.rglob("*")) if p.is_file()]


__all__ = ["Build", "build", "build_from_request", "summary"]
