"""One row built for every target, run in its runtime, and compared."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from benchmarks.operators.row import TARGETS, Row
from edgekit.config import BuildRequest, QuantizationSettings
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.frontend.source import load
from edgekit.ir import Graph, Node, ops, simulate
from edgekit.metrics import sqnr_db
from edgekit.runtime.artifact import Artifact
from edgekit.stages.artifact import export
from edgekit.stages.io_types import io_types
from edgekit.stages.precision import Lowered, lower
from edgekit.stages.preprocessing import prepare
from edgekit.target import Target

#: Samples of a call.
BATCH = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a row in one target.

    Attributes:
        refused: the error's first line, ``""`` where a file was written.
        error: largest difference from torch in float files, relative to the output's largest element.
        decibels: int8 files against torch; infinite where nothing is lost.
        steps: int8 files of LiteRT's reference kernels against the integer simulation.
        islands: reasons why ops of an int8 file stay float.
        integers: some of an int8 file computes in integers.
        wrong: what is not as it should be, in words.
    """

    refused: str = ""
    error: float = 0.0
    decibels: float = float("inf")
    steps: int = 0
    islands: tuple[str, ...] = ()
    integers: bool = False
    wrong: str = ""


@dataclass(frozen=True)
class Measured:
    """A row's outcomes by target; ``ops`` of the graph that it became; ``note``: what the user is told while loading."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    ops: tuple[str, ...] = ()
    note: str = ""


def measure(row: Row, targets: tuple[str, ...] = TARGETS) -> Measured:
    """Build, run and compare."""
    torch.manual_seed(0)
    module, inputs = row.module(), row.draw(BATCH, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a build would say about so little data
        try:
            graph = load(module, tuple(x[:1] for x in inputs))
        except (Unsupported, InputError) as error:
            wrong = _unlike(row.refused.get("source"), error)
            return Measured(dict.fromkeys(targets, Outcome(refused=error.what, wrong=wrong)))
        if graph.inputs[0].shape and isinstance(graph.inputs[0].shape[0], int):  # torch could not keep the batch open
            inputs = tuple(x[:1] for x in inputs)
        with torch.no_grad():
            wanted = flat(module(*[x.clone() for x in inputs]))
        if "source" in row.refused:
            return Measured({target: Outcome(wrong="it is not refused") for target in targets})
        found = {target: _in_target(row, graph, target, inputs, wanted) for target in targets}
    return Measured(found, tuple(dict.fromkeys(node.op.name for node in graph.nodes)), " ".join(graph.notes))


def flat(outputs: Any) -> list[NDArray[Any]]:
    """The tensors of a source's outputs, in order."""
    return [leaf.numpy() for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def lowered_for(graph: Graph, name: str, inputs: tuple[Tensor, ...]) -> tuple[bytes, Lowered]:
    """The file that ``edgekit build`` makes of a graph, with quick ranges, and the graph that was written.

    Raises:
        Unsupported: something has no place in this target.
    """
    target, request = _target(name), _request(name)
    prepared = prepare(graph, {}, bytes_in=frozenset())
    samples = [list(inputs)] if target.quantization.needs_calibration else None
    lowered = lower(prepared, target, samples, request, io_types(graph, target, request, {}))
    return export(lowered.graph, target, request, prepared), lowered


@cache
def _target(name: str) -> Target:
    return Target.load(name)


def _request(name: str) -> BuildRequest:
    quick = QuantizationSettings(observer="min_max", bias_correction=False)
    return BuildRequest("row", Path.cwd(), (name,), Path("edgekit-out"), quantization=quick)


def _in_target(row: Row, graph: Graph, name: str, inputs: tuple[Tensor, ...], wanted: list[NDArray[Any]]) -> Outcome:
    try:
        file, lowered = lowered_for(graph, name, inputs)
        if name in row.refused:
            return Outcome(wrong="it is not refused")
        got = Artifact(file).run_flat(tuple(x.numpy() for x in inputs))
        if "int8" not in name:
            error = difference(got, wanted)
            return Outcome(error=error, wrong=_over(error, row.tolerance, "relative error"))
        record = lowered.quantization
        islands = () if record is None else tuple(dict.fromkeys(island.reason for island in record.islands))
        kept = min((_kept(w, g) for w, g in zip(wanted, got, strict=True)), default=float("inf"))
        steps = steps_apart(file, lowered.graph, inputs) if name.startswith("tflite") else 0
        allowed = row.steps + bool(islands)
        wrong = _over(steps, allowed, "steps from the simulation") or _under(kept, row.floor)
        integers = any(_in_integers(node) for node in lowered.graph.nodes)
        return Outcome(decibels=kept, steps=steps, islands=islands, integers=integers, wrong=wrong)
    except Unsupported as error:
        return Outcome(refused=error.what, wrong=_unlike(row.refused.get(name), error))
    except EdgekitError as error:
        return Outcome(wrong=str(error))


def difference(got: list[NDArray[Any]], wanted: list[NDArray[Any]]) -> float:
    """The largest difference, relative to each output's largest finite element; infinite where types or shapes differ."""
    if len(got) != len(wanted):
        return float("inf")
    worst = 0.0
    for ours, theirs in zip(got, wanted, strict=True):
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return float("inf")
        if theirs.dtype.kind != "f":
            worst = max(worst, 0.0 if np.array_equal(ours, theirs) else float("inf"))
            continue
        finite = np.isfinite(theirs)
        if not np.array_equal(finite, np.isfinite(ours)) or not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
            return float("inf")
        largest = float(np.abs(theirs[finite]).max(initial=0.0))
        apart = float(np.abs(ours[finite].astype(np.float64) - theirs[finite]).max(initial=0.0))
        worst = max(worst, apart / max(largest, 1e-6))
    return worst


def steps_apart(file: bytes, graph: Graph, inputs: tuple[Tensor, ...]) -> int:
    """How many integers LiteRT's reference kernels are from the simulation, over all quantised outputs."""
    try:
        artifact = Artifact(file, kernels="reference")
    except InputError:  # some operators exist among the default kernels only
        artifact = Artifact(file)
    simulated = flat(simulate(graph, *inputs))
    worst = 0
    for value, mine, theirs in zip(graph.outputs, simulated, artifact.run_flat(tuple(x.numpy() for x in inputs)), strict=True):
        if value.quant is not None:
            worst = max(worst, int(np.abs(np.rint((mine - theirs) / value.quant.scale[0])).max(initial=0)))
    return worst


def _kept(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    if wanted.dtype.kind == "f":
        return sqnr_db(wanted, got)
    return float("inf") if np.array_equal(wanted, got) else float(np.mean(wanted == got)) * 100


def _in_integers(node: Node) -> bool:
    return not isinstance(node.op, ops.Identity) and any(value.quant is not None for value in node.outputs)


def _over(value: float, bound: float, what: str) -> str:
    return "" if value <= bound else f"{what} {value:.3g} > {bound:g}"


def _under(value: float, bound: float) -> str:
    return "" if value >= bound else f"{value:.1f} dB < {bound:g} dB"


def _unlike(expected: str | None, error: EdgekitError) -> str:
    if expected is None:
        return f"refused: {error.what}"
    complete = error.where and error.hint and expected in error.what
    return "" if complete else f"refused otherwise than with '{expected}': {error}"
