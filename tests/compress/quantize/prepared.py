"""Graphs made ready for quantisation, and the numbers of a quantised one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.compress.quantize.borders import is_activation
from edgekit.compress.quantize.policy import LITERT, Policy
from edgekit.compress.quantize.post_training import PostTraining, QuantizationRecord, quantize
from edgekit.ir import Graph, Node, QuantParams, ops, simulate
from edgekit.ir.text import parse
from edgekit.ir.verify import verify
from edgekit.metrics import sqnr_db
from edgekit.passes import DECOMPOSE, EXACT, run_passes
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
from edgekit.precision import PrecisionPlan
from tests.rewrites import random_inputs

Batches = Sequence[list[torch.Tensor]]


def prepared(graph: Graph | str) -> Graph:
    """A graph, or its text, after the passes that run before quantisation."""
    out, _ = run_passes(parse(graph) if isinstance(graph, str) else graph, (*EXACT, *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS))
    return out


def quantized(
    graph: Graph | str,
    *,
    batches: Batches | None = None,
    policy: Policy = LITERT,
    options: PostTraining | None = None,
    integer_io: bool = True,
    input_params: dict[str, QuantParams] | None = None,
    plan: PrecisionPlan | None = None,
) -> tuple[Graph, QuantizationRecord]:
    """A quantised graph that keeps the invariant; the given one is as it was."""
    before = prepared(graph)
    text = before.text()
    after, record = quantize(
        before,
        [random_inputs(before, 16, seed) for seed in range(2)] if batches is None else batches,
        policy=policy,
        options=options,
        integer_io=integer_io,
        input_params=input_params,
        plan=plan,
    )
    assert before.text() == text
    verify(after)
    assert_invariant(after, integer_io)
    return after, record


def assert_invariant(graph: Graph, integer_io: bool = True) -> None:
    """Integer or float, never both in one node, except at an ``identity``; inputs and outputs as they were asked for."""
    for node in graph.nodes:
        if isinstance(node.op, ops.Identity):
            assert node.input(0).quant is not None or node.output.quant is not None, f"{node!r} does nothing"
            assert node.input(0).quant != node.output.quant, f"{node!r} does nothing"
            continue
        held = {v.quant is not None for v in (*node.inputs, *node.outputs) if is_activation(v)}
        assert len(held) < 2, f"{node!r} mixes integers and floats"
    for value in (*graph.inputs, *graph.outputs):
        if is_activation(value):
            assert (value.quant is not None) == integer_io, value


def sqnr(graph: Graph, reference: Graph, seed: int = 7, count: int = 64) -> float:
    """Signal to noise of the integer simulation against a float graph with the same inputs, on fresh data."""
    inputs = random_inputs(reference, count, seed)
    with torch.no_grad():
        wanted = reference.module().eval().run([x.clone() for x in inputs])
    got = simulate(graph, *inputs)
    flat = [got] if isinstance(got, torch.Tensor) else list(got)
    return min(sqnr_db(a.float().numpy(), b.float().numpy()) for a, b in zip(wanted, flat, strict=True))


def of_kind(graph: Graph, kind: type[ops.Op]) -> list[Node]:
    """All nodes with such an op."""
    return [node for node in graph.nodes if isinstance(node.op, kind)]
