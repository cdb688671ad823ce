"""ONNX's conformance cases through the ONNX source: ONNX -> graph -> ONNX Runtime, and -> LiteRT.

    python -m benchmarks.onnx_conformance            # runs all cases, writes results/onnx_conformance.json and the page
    python -m benchmarks.onnx_conformance --only add # cases whose names contain a text; writes nothing

An input of a case that the graph must know while loading (a shape, axes, a weight) is made an initialiser with the case's own
data. A case passes where the outputs are ONNX's within ONNX's own tolerances, in type, shape and value. It is refused where
edgekit says in words that it does not take it. Everything else has failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from benchmarks.onnx_cases import Case, node_cases, recorded_cases
from edgekit.errors import EdgekitError, Unsupported
from edgekit.export.onnx import export as export_onnx
from edgekit.export.tflite.exporter import export as export_tflite
from edgekit.export.tflite.options import TfliteOptions
from edgekit.frontend.onnx.load import graph_of_model
from edgekit.frontend.onnx.read import parse_model
from edgekit.ir import Graph
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.runtime.artifact import Artifact

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "onnx_conformance.json"
PAGE = ROOT / "docs" / "onnx-conformance.md"

#: Operators that networks for classification, detection, segmentation, speech and signals are made of (as far as ONNX has
#: operators for them): what edgekit sets out to take. The others are training, texts, sequences, random numbers, bit
#: manipulation, image files, trees, and results whose sizes depend on values.
_IN_SCOPE = """
Conv ConvTranspose MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool
Relu LeakyRelu PRelu Elu Selu Celu ThresholdedRelu HardSigmoid HardSwish Gelu Swish Shrink Clip Sigmoid Tanh Softplus
Softsign Mish Softmax LogSoftmax Hardmax SwiGLU
BatchNormalization LayerNormalization GroupNormalization InstanceNormalization RMSNormalization LpNormalization LRN
MeanVarianceNormalization
Add Sub Mul Div Pow Mod Max Min Mean Sum Abs Neg Exp Log Sqrt Reciprocal Sign Floor Ceil Round Sin Cos Tan Sinh Cosh Asinh
Acosh Atanh Erf Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not Where Identity IsNaN IsInf
ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp ArgMax
ArgMin CumSum TopK
MatMul Gemm Einsum Attention RotaryEmbedding
Reshape Transpose Flatten Squeeze Unsqueeze Concat Split Slice Gather GatherElements GatherND Tile Expand Pad
CenterCropPad Resize Upsample DepthToSpace SpaceToDepth Trilu OneHot ReverseSequence GridSample
Constant ConstantOfShape Range Shape Size EyeLike Dropout LSTM GRU RNN
"""
IN_SCOPE = frozenset(_IN_SCOPE.split())

_RUNTIMES = ("onnxruntime", "litert")


@dataclass(frozen=True)
class Outcome:
    """What became of a case: for each runtime ``passed``, ``refused`` or ``failed``, and why it did not pass."""

    name: str
    operator: str
    opset: int
    onnxruntime: str
    litert: str
    why: str = ""


def run(case: Case) -> Outcome:
    """One case through both runtimes: as it is, and where that is refused with fewer inputs."""
    opset = next((o.version for o in case.model.opset_import if o.domain in ("", "ai.onnx")), 0)
    found: dict[str, tuple[str, str]] = {}
    for kept in _attempts(case):
        try:
            graph = graph_of_model(_with_initialisers(case, kept), name=case.name)
        except Unsupported as error:
            for runtime in _RUNTIMES:
                found.setdefault(runtime, ("refused", _line(error)))
            continue
        except Exception as error:
            found.update(dict.fromkeys(_RUNTIMES, ("failed", f"loading: {_line(error)}")))
            break
        for runtime in _RUNTIMES:
            if found.get(runtime, ("refused",))[0] == "refused":
                found[runtime] = _through(case, graph, kept, runtime)
        if not any(kind == "refused" for kind, _ in found.values()):
            break
    why = dict.fromkeys(f"{runtime}: {reason}" for runtime, (_, reason) in found.items() if reason)
    if len({found[runtime] for runtime in _RUNTIMES}) == 1:
        why = dict.fromkeys([found[_RUNTIMES[0]][1]])
    return Outcome(case.name, case.operator, opset, found["onnxruntime"][0], found["litert"][0], "; ".join(why))


def _through(case: Case, graph: Graph, kept: list[int], runtime: str) -> tuple[str, str]:
    """What becomes of a graph in one runtime, and why it does not pass."""
    try:
        wrong = _difference(case, kept, lambda inputs: _run_graph(graph, inputs))
        if wrong:
            return "failed", f"the graph: {wrong}"
        lowered, _ = run_passes(graph, (*EXACT, *DECOMPOSE) if runtime == "litert" else EXACT)
        file = export_onnx(lowered) if runtime == "onnxruntime" else export_tflite(lowered, TfliteOptions())
        artifact = Artifact(file)
        wrong = _difference(case, kept, lambda inputs: artifact.run_flat(tuple(inputs)))
        return ("failed", wrong) if wrong else ("passed", "")
    except Unsupported as error:
        return "refused", _line(error)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {_line(error)}"


def _attempts(case: Case) -> list[list[int]]:
    """Which inputs stay inputs: all; those of real numbers; the first alone."""
    arrays = case.data[0][0]
    everything = list(range(len(arrays)))
    floats = [i for i in everything if isinstance(arrays[i], np.ndarray) and arrays[i].dtype.kind == "f"]
    attempts = [everything]
    for fewer in (floats, everything[:1], floats[:1]):
        if fewer and fewer not in attempts and len(case.data) == 1:
            attempts.append(fewer)
    return attempts


def _with_initialisers(case: Case, kept: Sequence[int]) -> Any:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    stored = {tensor.name for tensor in model.graph.initializer}
    free = [value for value in model.graph.input if value.name not in stored]
    for index, value in enumerate(free):
        array = case.data[0][0][index] if index < len(case.data[0][0]) else None
        if index not in kept and isinstance(array, np.ndarray):
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    return parse_model(model.SerializeToString(), case.name)


def _run_graph(graph: Graph, inputs: list[Any]) -> list[Any]:
    with torch.no_grad():
        tensors = [torch.from_numpy(np.array(array)) for array in inputs]
        return [tensor.numpy() for tensor in graph.module().eval().run(tensors)]


def _difference(case: Case, kept: list[int], call: Any) -> str:
    """How the outputs differ from the case's; empty where they do not."""
    for given, wanted in case.data:
        outputs = call([given[index] for index in kept])
        wanted = [array for array in wanted if array is not None]
        if len(outputs) != len(wanted):
            return f"{len(outputs)} outputs instead of {len(wanted)}"
        for index, (ours, theirs) in enumerate(zip(outputs, wanted, strict=True)):
            problem = _mismatch(np.asarray(ours), np.asarray(theirs), case)
            if problem:
                return f"output {index} {problem}"
    return ""


def _mismatch(ours: Any, theirs: Any, case: Case) -> str:
    if ours.shape != theirs.shape:
        return f"has the shape {ours.shape} instead of {theirs.shape}"
    if ours.dtype != theirs.dtype:
        return f"is {ours.dtype} instead of {theirs.dtype}"
    if theirs.dtype.kind in "fc":
        least = 1e-3 if theirs.dtype.itemsize < 4 else 1e-5
        if np.allclose(ours, theirs, rtol=case.rtol, atol=max(case.atol, least), equal_nan=True):
            return ""
        with np.errstate(all="ignore"):
            return f"differs by up to {np.nanmax(np.abs(ours.astype('f8') - theirs.astype('f8'))):.3g}"
    return "" if np.array_equal(ours, theirs) else "differs"


def _line(error: BaseException) -> str:
    text = error.what if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
    return " ".join(str(text).split())[:300]


def all_cases() -> list[Case]:
    """Generated and recorded ones."""
    return [*node_cases(), *recorded_cases()]


def _worker(pipe: Any) -> None:
    """Runs the cases whose indices come through a pipe: a runtime that ends the process takes this one along, not all."""
    torch.set_num_threads(1)
    cases = all_cases()
    while (index := pipe.recv()) is not None:
        pipe.send(asdict(run(cases[index])))


def run_all(cases: Sequence[Case], indices: Sequence[int]) -> list[Outcome]:
    """All outcomes, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    outcomes: list[Outcome] = []
    pipe = worker = None
    for index in indices:
        if worker is None or pipe is None:
            pipe, other = context.Pipe()
            worker = context.Process(target=_worker, args=(other,), daemon=True)
            worker.start()
        try:
            pipe.send(index)
            while not pipe.poll(0.5):
                if not worker.is_alive():
                    raise EOFError
            outcomes.append(Outcome(**pipe.recv()))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            case = cases[index]
            outcomes.append(Outcome(case.name, case.operator, 0, "failed", "failed", "the process ended"))
            worker = None
        if len(outcomes) % 200 == 0:
            print(f"{len(outcomes)} of {len(indices)} cases", file=sys.stderr, flush=True)
    if worker is not None and pipe is not None:
        pipe.send(None)
        worker.join(10)
    return outcomes


def totals(outcomes: Sequence[Outcome], runtime: str) -> Counter[str]:
    """How many passed, were refused, failed."""
    return Counter(getattr(outcome, runtime) for outcome in outcomes)


def in_scope(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Generated cases of operators that edgekit sets out to take, and all recorded networks."""
    return [outcome for outcome in outcomes if outcome.operator in IN_SCOPE or "pytorch" in outcome.operator]


def share(outcomes: Sequence[Outcome], runtime: str) -> float:
    """The share of cases in scope that pass."""
    chosen = in_scope(outcomes)
    return totals(chosen, runtime)["passed"] / max(1, len(chosen))


def page(outcomes: Sequence[Outcome]) -> str:
    """The page of the docs."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.operator].append(outcome)
    chosen = in_scope(outcomes)
    lines = [
        "# ONNX's conformance cases",
        "",
        "Written by `python -m benchmarks.onnx_conformance`. Every case of ONNX's own test suite goes through",
        "ONNX → graph → ONNX Runtime and ONNX → graph → LiteRT. *Passed*: the outputs are ONNX's, in type, shape and value,",
        "within a relative 1e-3 (as ONNX asks) and an absolute 1e-5 (1e-3 in half precision). *Refused*: edgekit says that it",
        "does not take the model, or that the format has no form for it. *Failed*: anything else. Inputs that must be known",
        "while loading (shapes, axes, weights) are initialisers with the case's own data. Operators in scope are those that",
        "networks for vision, speech and signals are",
        "made of; the rest are training, texts, sequences, random numbers, image files, trees, and results whose sizes depend",
        "on values.",
        "",
        f"onnx {onnx.__version__}, {len(outcomes)} cases, {len(chosen)} of them in scope.",
        "",
        "| | cases | ONNX Runtime: passed | refused | failed | LiteRT: passed | refused | failed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        _row("all", outcomes),
        _row("in scope", chosen),
        _row("in scope, share", chosen, shares=True),
        "",
        "## By operator",
        "",
        "| operator | cases | ONNX Runtime: passed | refused | failed | LiteRT: passed | refused | failed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ordered = sorted(groups, key=lambda name: (name not in IN_SCOPE and "pytorch" not in name, name))
    lines += [_row(name if name in IN_SCOPE or "pytorch" in name else f"*{name}*", groups[name]) for name in ordered]
    lines += ["", "Operators in italics are out of scope.", "", "## Why cases in scope are refused", ""]
    reasons = Counter(reason for outcome in chosen for reason in _reasons(outcome))
    lines += ["| cases | reason |", "|---:|---|"]
    lines += [f"| {count} | {reason} |" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    return "\n".join(lines) + "\n"


def _reasons(outcome: Outcome) -> set[str]:
    """Reasons without the numbers that are particular to a case."""
    import re

    if "refused" not in (outcome.onnxruntime, outcome.litert):
        return set()
    found = set()
    for part in outcome.why.split("; "):
        text = re.sub(r"'[^']*_[^']*'", "'…'", part.replace("|", "\\|"))
        found.add(re.sub(r"\[[^\]]*\]", "[…]", re.sub(r"\d[\d,]*", "#", text)))
    return found


def _row(name: str, outcomes: Sequence[Outcome], *, shares: bool = False) -> str:
    cells = []
    for runtime in _RUNTIMES:
        count = totals(outcomes, runtime)
        numbers = [count[kind] for kind in ("passed", "refused", "failed")]
        cells += [f"{100 * number / max(1, len(outcomes)):.1f} %" if shares else str(number) for number in numbers]
    return f"| {name} | {len(outcomes)} | {' | '.join(cells)} |"


def main() -> int:
    """Runs the cases; exit code 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--operator", default="")
    options = parser.parse_args()
    started = time.perf_counter()
    cases = all_cases()
    chosen = [
        index for index, case in enumerate(cases) if options.only in case.name and options.operator in ("", case.operator)
    ]
    outcomes = run_all(cases, chosen)
    for outcome in outcomes:
        if "failed" in (outcome.onnxruntime, outcome.litert) or options.only or options.operator:
            print(f"{outcome.onnxruntime:8} {outcome.litert:8} {outcome.operator:24} {outcome.name}: {outcome.why}")
    for runtime in _RUNTIMES:
        print(runtime, dict(totals(outcomes, runtime)), f"in scope: {100 * share(outcomes, runtime):.1f} % pass")
    print(f"{time.perf_counter() - started:.0f} s")
    if not options.only and not options.operator:
        RESULTS.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=0) + "\n")
        PAGE.write_text(page(outcomes))
    return int(any("failed" in (outcome.onnxruntime, outcome.litert) for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
