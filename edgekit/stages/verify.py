"""Run the artifact in its runtime and compare it with the source, with the float graph and with the integer simulation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from edgekit import metrics
from edgekit.compress.quantize.sensitivity import logits
from edgekit.errors import InputError
from edgekit.ir import Graph, ops, simulate
from edgekit.report import Verification
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.larq_environment import find_python, version_in
from edgekit.stages.feeding import Outputs, at_once, count_of, fed, first, fixed_batch, run
from edgekit.target import Target

Array = np.ndarray[Any, Any]

#: Samples compared at most with the runtime's default kernels, and with its slow reference kernels; for these, seconds after
#: which no further sample is begun (the simulation of the same samples takes about as long again: two seconds in all).
SAMPLES = 256
REFERENCE_SAMPLES = 16
REFERENCE_SECONDS = 1.0


def run_graph(graph: Graph, samples: Sequence[Array]) -> Outputs:
    """The float graph (fake-quantised where it carries ``quant``) on stacked samples."""
    module = graph.module().eval()
    with torch.no_grad():
        return run(lambda arrays: _arrays(module.run(_tensors(arrays))), samples, graph, at_once(graph))


def run_source(graph: Graph, samples: Sequence[Array]) -> Outputs | None:
    """The user's own module on stacked samples; None where it is not at hand."""
    source, signature = graph.source, graph.signature
    if source is None or signature is None:
        return None
    with torch.no_grad(), _evaluating(source):
        return run(lambda arrays: _arrays(signature.outputs_of(source, _tensors(arrays))), samples, graph, at_once(graph))


def run_file(file: Artifact, graph: Graph, samples: Sequence[Array]) -> Outputs:
    """An artifact of ``graph`` on stacked samples."""
    return run(file.run_flat, samples, graph, SAMPLES)


def _tensors(arrays: Sequence[Array]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def _arrays(tensors: Sequence[torch.Tensor]) -> list[Array]:
    return [tensor.float().numpy() for tensor in tensors]


@contextmanager
def _evaluating(source: Any) -> Iterator[None]:
    """Evaluation mode in the block; afterwards every part is in the mode that it was in.

    The flags are set one by one: ``train()`` would unfreeze a batch norm that the user froze, and exported programs refuse it.
    """
    parts = list(source.modules()) if isinstance(source, nn.Module) else []
    before = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, training in zip(parts, before, strict=True):
            part.training = training


def with_logits(graph: Graph) -> Graph:
    """A copy whose outputs are the tensors before a final softmax or sigmoid; the graph itself where there is none."""
    found = logits(graph)
    if not found or [id(v) for v in found] == [id(v) for v in graph.outputs]:
        return graph
    names = [v.name for v in found]
    out = graph.copy()
    values = {v.name: v for v in out.values()}
    out.outputs = [values[name] for name in names]
    out.signature = None
    out.eliminate_dead()
    return out


def verify(
    artifact: bytes,
    export_bytes: Callable[[Graph], bytes],
    lowered: Graph,
    float_graph: Graph,
    source: Graph,
    raw: list[Array],
    normalized: list[Array],
    taken: list[Array],
    target: Target,
    full: bool,
    against: Literal["source", "graph"] = "source",
    real: bool = True,
) -> tuple[Verification, ...]:
    """One row per comparison.

    The signal-to-noise ratio is of the tensor before a final softmax or sigmoid: where the model ends in one, a second file
    without it is made and run for that figure. The others are of the artifact itself.

    Args:
        artifact: the file.
        export_bytes: makes such a file of another graph.
        lowered: what was exported.
        float_graph: the same before quantisation.
        source: the graph as it was loaded.
        raw: samples as the artifact takes them through ``Artifact.run``.
        normalized: the same samples as the source takes them.
        taken: the same samples as ``lowered`` takes them.
        target: floors and runtime.
        full: compare with the simulation and the reference kernels too.
        against: what ``source`` is: the user's own, or the graph after a recipe.
        real: the samples are the user's, not random ones.

    Raises:
        InputError: the source itself gives NaN.
    """
    raw, normalized, taken = (first(arrays, lowered, SAMPLES) for arrays in (raw, normalized, taken))
    count = count_of(raw, lowered)
    before = with_logits(source)
    same = before is source
    wanted = run_source(source, normalized) or run_graph(source, normalized)
    sound = _sound(source, wanted, count, real)
    if not sound.all() and all(len(array) == count for array in (*raw, *wanted.arrays)):
        raw, normalized, taken = ([array[sound] for array in arrays] for arrays in (raw, normalized, taken))
        wanted, count = Outputs([array[sound] for array in wanted.arrays]), int(sound.sum())
    wanted_logits = wanted if same else run_graph(before, normalized)
    file = Artifact(artifact)
    got = run_file(file, lowered, raw)
    if same:
        got_logits = got
    else:
        inner = with_logits(lowered)
        got_logits = run_file(Artifact(export_bytes(inner)), inner, raw)
    runtime, version = runtime_of(target)
    signs = any(isinstance(node.op, ops.BinarySign) for node in source.nodes)
    parity = (target.parity.binary if signs else None) or target.parity
    floors = parity.min_sqnr_db, parity.min_top1_agreement
    rows = [_row(against, runtime, version, "default", count, wanted, got, wanted_logits, got_logits, *floors)]
    if full and lowered is not float_graph and target.exporter == "tflite":
        rows += _against_simulation(artifact, lowered, raw, taken, target)
    return tuple(rows)


def _sound(source: Graph, outputs: Outputs, count: int, real: bool) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For which samples the source gives no NaN, which nothing could be compared with.

    Random inputs may be outside of what a model is made for: some NaN is no fault then.

    Raises:
        InputError: it does for the user's own, or for all.
    """
    stacked = [array.reshape(count, -1) for array in outputs.arrays if array.ndim and len(array) == count]
    bad = np.any([np.isnan(array).any(axis=1) for array in stacked], axis=0) if stacked else np.zeros(count, bool)
    if not bad.any() or (not real and not bad.all()):
        return ~bad
    inputs = "the given inputs" if real else "random inputs"
    hint = "look at the weights (`torch.isnan`) and at these inputs"
    raise InputError(
        f"the model itself gives NaN for {int(bad.sum())} of {count} samples of {inputs}",
        where=f"{source.name}, sample {int(np.argmax(bad))}",
        hint=hint if real else f"{hint}; typical ones come with --calibration or --evaluate",
    )


def _row(
    against: str,
    runtime: str,
    version: str,
    kernels: str,
    samples: int,
    wanted: Outputs,
    got: Outputs,
    wanted_logits: Outputs,
    got_logits: Outputs,
    floor: float | None,
    agreement_floor: float | None,
) -> Verification:
    sqnr = metrics.sqnr_db(wanted_logits.joined(), got_logits.joined())
    theirs, mine = wanted.arrays[0], got.arrays[0]
    agreement = metrics.top1_agreement(theirs, mine) if metrics.has_scores(theirs.shape) else None
    passed = floor is None or (sqnr == sqnr and sqnr >= floor)
    if agreement_floor is not None and agreement is not None:
        passed = passed and agreement >= agreement_floor
    return Verification(
        against,  # type: ignore[arg-type]
        runtime,
        version,
        kernels,
        samples,
        sqnr,
        metrics.max_abs_error(wanted.joined(), got.joined()),
        agreement,
        None,
        floor,
        agreement_floor,
        passed,
    )


def _against_simulation(
    artifact: bytes, lowered: Graph, raw: list[Array], taken: list[Array], target: Target
) -> list[Verification]:
    """The runtime's reference kernels against our integer arithmetic, for some samples or some seconds."""
    raw, taken = first(raw, lowered, REFERENCE_SAMPLES), first(taken, lowered, REFERENCE_SAMPLES)
    try:
        file, kernels = Artifact(artifact, kernels="reference"), "reference"
    except InputError:  # a few ops of a file have optimised kernels only
        file, kernels = Artifact(artifact, kernels="builtin"), "builtin"
    started, results = time.monotonic(), []
    for portion in fed(raw, lowered, 1):  # as many as there is time for
        results.append(file.run_flat(portion))
        if time.monotonic() - started > REFERENCE_SECONDS:
            break
    done = min(len(results) * (fixed_batch(lowered) or 1), count_of(raw, lowered))
    recorded = iter(results)
    got = run(lambda _: next(recorded), first(raw, lowered, done), lowered, 1)
    flat = lowered.copy()
    flat.signature = None  # outputs as a plain tuple

    def simulated_once(arrays: list[Array]) -> list[Array]:
        results = simulate(flat, *_tensors(arrays))
        return _arrays(results if isinstance(results, tuple) else (results,))

    simulated = run(simulated_once, first(taken, lowered, done), lowered, done)
    steps = [None if v.quant is None else v.quant.scale[0] for v in lowered.outputs]
    equal = [np.rint((a - b) / s) == 0 for a, b, s in zip(got.arrays, simulated.arrays, steps, strict=True) if s is not None]
    runtime, version = runtime_of(target)
    row = _row("simulation", runtime, version, kernels, done, simulated, got, simulated, got, None, None)
    share = float(np.concatenate([e.ravel() for e in equal]).mean()) if equal else None
    return [Verification(**{**row.__dict__, "equal_integers": share})]


def runtime_of(target: Target) -> tuple[str, str]:
    """What runs a target's file here, and its version."""
    from importlib.metadata import version

    if target.runtime == "larq":
        return "Larq Compute Engine", version_in(find_python() or sys.executable) or ""
    # A file for TFLite Micro is run by LiteRT here: the same file format and, with reference kernels, the same integers.
    name, distribution = {"onnxruntime": ("ONNX Runtime", "onnxruntime")}.get(target.runtime, ("LiteRT", "ai-edge-litert"))
    return name, version(distribution)
