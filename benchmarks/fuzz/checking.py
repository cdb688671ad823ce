"""A network in four targets against PyTorch and the integer simulation: what disagrees, in words."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.fuzz.program import Network, Program
from benchmarks.operators.measure import flat, lowered_for
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.frontend.source import load
from edgekit.ir import Graph, simulate
from edgekit.metrics import sqnr_db
from edgekit.runtime.artifact import Artifact

#: Of the largest output: what a float file may be off, beside what the network itself makes of noise.
TOLERANCE = 1e-4

#: Below this an output is the rounding of what cancels.
_SMALLEST = 1e-3

#: How much more than a change of the inputs by a millionth may change an output in float.
_AMPLIFIED = 30.0

#: Signal over noise of an int8 file against the simulation where parts stay float, whose sums have no fixed order.
_ISLANDS_DB = 25.0

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Integers:
    """The outputs of an int8 file: which were compared integer for integer, and why others were not.

    Attributes:
        compared: with the simulation.
        noise: names of outputs that float parts make out of rounding alone.
        in_float: outputs that stay float, which only the float files compare.
        without_kernels: outputs of files with an operator that the reference kernels lack.
    """

    compared: int = 0
    noise: tuple[str, ...] = ()
    in_float: int = 0
    without_kernels: int = 0


@dataclass(frozen=True)
class Verdict:
    """What became of a network.

    Attributes:
        disagreements: in words; empty where all agree.
        refused: the frontend's words where it takes no such network.
        ops: kinds of ops of the graph.
        integers: what became of the outputs of the int8 file.
    """

    disagreements: tuple[str, ...] = ()
    refused: str = ""
    ops: frozenset[str] = frozenset()
    integers: Integers = Integers()


def check(program: Program) -> Verdict:
    """Build, run and compare. Nothing is raised: whatever is raised on the way is a disagreement."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _check(program)
        except Exception as error:
            return Verdict((f"{type(error).__name__}: {error}",))


def _check(program: Program) -> Verdict:
    network = Network(program)
    inputs = program.draw()
    try:
        graph = load(network, tuple(x[:1] for x in inputs))
    except Unsupported as error:
        return Verdict(refused=error.what)
    if graph.inputs and graph.inputs[0].shape and isinstance(graph.inputs[0].shape[0], int):
        inputs = tuple(x[:1] for x in inputs)
    wanted, noise = _wanted(network, inputs)
    found = [*_float("tflite-fp32", graph, inputs, wanted, noise), *_float("onnx-fp32", graph, inputs, wanted, noise)]
    integers, wrong = _integer(graph, inputs, [_is_noise(w, moved) for w, moved in zip(wanted, noise, strict=True)])
    return Verdict((*found, *wrong), "", frozenset(node.op.name for node in graph.nodes), integers)


def _wanted(network: Network, inputs: tuple[Tensor, ...]) -> tuple[Arrays, list[float]]:
    """PyTorch's outputs, and how far each goes when the inputs go a millionth."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        wanted = flat(network(*[x.clone() for x in inputs]))
        nudged = [x * (1 + 1e-6 * torch.randn(x.shape, generator=random)) if x.is_floating_point() else x for x in inputs]
        moved = flat(network(*[x.clone() for x in nudged]))
    apart = [float(np.abs(a.astype(np.float64) - b).max(initial=0)) for a, b in zip(wanted, moved, strict=True)]
    return wanted, [a if w.dtype.kind == "f" else 0.0 for a, w in zip(apart, wanted, strict=True)]


def _float(target: str, graph: Graph, inputs: tuple[Tensor, ...], wanted: Arrays, noise: list[float]) -> list[str]:
    try:
        file, _ = lowered_for(graph, target, inputs)
        got = Artifact(file).run_flat(tuple(x.numpy() for x in inputs))
    except EdgekitError as error:
        return [f"{target}: {error}"]
    if len(got) != len(wanted):
        return [f"{target}: {len(got)} outputs instead of {len(wanted)}"]
    told = []
    for value, ours, theirs, moved in zip(graph.outputs, got, wanted, noise, strict=True):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            told.append(f"{target}: %{value.name} is {ours.dtype}{ours.shape} instead of {theirs.dtype}{theirs.shape}")
            continue
        apart = float(np.abs(ours.astype(np.float64) - theirs).max(initial=0))
        largest = max(float(np.abs(theirs).max(initial=0)), _SMALLEST)
        allowed = TOLERANCE * largest + _AMPLIFIED * moved if theirs.dtype.kind == "f" else 0.0
        if not apart <= allowed:
            told.append(f"{target}: %{value.name} differs by {apart:.3g}, allowed are {allowed:.3g}")
    return told


def _is_noise(wanted: NDArray[Any], moved: float) -> bool:
    """Whether float arithmetic of another order may change an output by more than float parts of an int8 file are held to."""
    return _AMPLIFIED * moved >= 10 ** (-_ISLANDS_DB / 20) * float(np.abs(wanted.astype(np.float64)).max(initial=0))


def _integer(graph: Graph, inputs: tuple[Tensor, ...], noise: list[bool]) -> tuple[Integers, list[str]]:
    """Which outputs were compared, and what is wrong with them."""
    try:
        file, lowered = lowered_for(graph, "tflite-int8", inputs)
        simulated = flat(simulate(lowered.graph, *inputs))
        try:
            artifact = Artifact(file, kernels="reference")
        except InputError:  # operators that the reference kernels lack
            return Integers(without_kernels=len(lowered.graph.outputs)), []
        got = artifact.run_flat(tuple(x.numpy() for x in inputs))
    except EdgekitError as error:
        return Integers(), [f"tflite-int8: {error}"]
    told, compared, left_out, in_float = [], 0, [], 0
    islands = lowered.quantization is not None and bool(lowered.quantization.islands)
    for value, ours, theirs, chaotic in zip(lowered.graph.outputs, simulated, got, noise, strict=True):
        if value.quant is None:
            in_float += 1
            continue
        if islands and chaotic:
            left_out.append(value.name)
            continue
        compared += 1
        steps = int(np.abs(np.rint((ours - theirs) / value.quant.scale[0])).max(initial=0))
        if steps > islands and not (islands and sqnr_db(ours, theirs) > _ISLANDS_DB):
            told.append(f"tflite-int8: %{value.name} is {steps} integers from the simulation")
    return Integers(compared, tuple(left_out), in_float), told
