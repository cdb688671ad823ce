"""Networks with early exits as files: every decision is the graph's, and an early answer skips what it can."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from edgekit import Unsupported
from edgekit.export.onnx.convert import export as export_onnx
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.onnx.describe import describe as describe_onnx
from edgekit.formats.tflite.describe import describe
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph, ops, simulate
from edgekit.ir.exits import exit_plan
from edgekit.ir.integer.interpreter import Simulator
from edgekit.ir.ops import SCORES
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import dequantize
from edgekit.ir.types import Batch, TensorType
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.litert import Kernels
from tests import tflite_runtimes
from tests.exits import choice, exit_logits, network, quantized, samples, taken

torch.set_num_threads(1)

COUNT = 150
KERNELS: tuple[Kernels, ...] = ("default", "reference")


def quant_of(graph: Graph) -> QuantParams:
    """The one scale of all exits."""
    quant = choice(graph).output.quant
    assert quant is not None
    return quant


def _run(file: bytes, x: torch.Tensor, kernels: Kernels = "default") -> NDArray[Any]:
    return Artifact(file, kernels=kernels).run_flat((x.numpy(),))[0]


def _by_hand(graph: Graph, files: list[bytes], x: torch.Tensor) -> NDArray[Any]:
    """The choice between what flat files of the exits give in the same runtime."""
    op = choice(graph).op
    assert isinstance(op, ops.ChooseExit)
    return op.run(*(torch.from_numpy(_run(file, x)) for file in files)).numpy()


@pytest.mark.parametrize("score", SCORES)
def test_float_files_leave_where_the_graph_does(score: str) -> None:
    graph, x = network(score), samples(COUNT)
    assert min(taken(graph, x)) > 5
    with torch.no_grad():
        want = graph.module().eval()(x).numpy()
    for kernels in KERNELS:
        assert np.abs(_run(export(graph), x, kernels) - want).max() < 1e-4
    assert np.abs(_run(export_onnx(graph), x) - want).max() < 1e-4


@pytest.mark.parametrize("score", SCORES)
def test_integer_files_compute_what_the_simulation_says(score: str) -> None:
    graph, x = quantized(network(score)), samples(COUNT)
    assert {value.quant for value in choice(graph).inputs} == {choice(graph).output.quant}  # type: ignore[union-attr]
    file = export(graph)
    assert np.array_equal(_run(file, x, "reference"), simulate(graph, x).numpy())
    flat = [export(exit_logits(graph, index)) for index in range(3)]
    assert np.array_equal(_run(file, x), _by_hand(graph, flat, x))


@pytest.mark.parametrize("unsigned", [False, True])
def test_integers_in_onnx_runtime_are_those_of_flat_files(unsigned: bool) -> None:
    graph, x = quantized(network(), "onnxruntime"), samples(COUNT)
    file = export_onnx(graph, unsigned=unsigned)
    onnx.checker.check_model(file, full_check=True)
    flat = [export_onnx(exit_logits(graph, index), unsigned=unsigned) for index in range(3)]
    assert np.array_equal(_run(file, x), _by_hand(graph, flat, x))


@pytest.mark.parametrize("score", ["margin", *(pytest.param(score, marks=pytest.mark.slow) for score in SCORES[:2])])
def test_tflite_micro_and_the_oldest_runtime_agree(score: str) -> None:
    graph = quantized(network(score), "tflm")
    x = samples(30)
    want = Simulator(graph).run([x])[0].numpy()
    quant = graph.inputs[0].quant
    assert quant is not None
    whole = np.rint(x.numpy() / np.float32(quant.scale[0])) + quant.zero_point[0]
    calls = [[row[None]] for row in np.moveaxis(whole, 1, -1).clip(-128, 127).astype(np.int8)]
    op = choice(graph).op
    assert isinstance(op, ops.ChooseExit)
    for run, options in ((tflite_runtimes.run_micro, TfliteOptions(micro=True)), (tflite_runtimes.run_2_14, TfliteOptions())):
        got = run(export(graph, options), calls)[0][:, 0]
        held = tuple(torch.from_numpy(run(export(exit_logits(graph, i), options), calls)[0][:, 0]) for i in range(3))
        assert np.array_equal(got, op.choose(tuple(dequantize(y, quant_of(graph)) for y in held), held).numpy())
        assert np.abs(got.astype(int) - want).max() <= 1  # their kernels round a few sums the other way


def test_what_later_exits_need_stands_in_their_branches_and_weights_are_stored_once() -> None:
    graph = network()
    model = read(export(graph))
    assert [op.name for op in model.main.operators][-4:] == ["SOFTMAX", "REDUCE_MAX", "GREATER", "IF"]
    kinds = [[op.name for op in subgraph.operators] for subgraph in model.subgraphs[1:]]
    assert [row for row in kinds if not row] == [[], []]  # an early answer computes nothing more
    assert sum(row.count("CONV_2D") for row in kinds) == 2 and model.op_counts()["CONV_2D"] == 1
    flat = graph.copy()
    flat.outputs = [value for value in choice(flat).inputs if value is not None]
    flat.eliminate_dead()
    assert len(export(graph)) < len(export(flat)) + 6000
    assert len(export_onnx(graph)) < len(export_onnx(flat)) + 4000


def test_descriptions_count_every_branch_once() -> None:
    graph = network()
    plan = exit_plan(graph)
    assert plan is not None
    assert list(plan.macs()) == sorted(plan.macs()) and len(plan.macs()) == 3
    for description in (describe(export(graph), "f"), describe_onnx(export_onnx(graph), "f")):
        assert description.macs == plan.macs()[-1]
        assert sum(op.kind in ("CONV_2D", "Conv") for op in description.ops) == 3
        assert sum(op.parameters for op in description.ops) == description.parameters
        assert abs(description.parameters - sum(p.numel() for p in graph.module().parameters())) < 20
        assert description.peak_memory_bytes


def test_a_choice_that_saves_nothing_is_made_for_every_sample_of_a_batch() -> None:
    graph = Graph("g")
    values = [graph.add_input(f"x{i}", TensorType(torch.float32, (Batch(1), 4))) for i in range(2)]
    graph.outputs = [graph.add(ops.ChooseExit("margin", (0.5,), (0.3,)), *values, name="y")]
    x = [torch.randn(6, 4), torch.randn(6, 4)]
    want = graph.module()(*x).numpy()
    arrays = tuple(a.numpy() for a in x)
    for file in (export(graph, TfliteOptions(batch=3)), export_onnx(graph)):
        assert np.abs(Artifact(file).run_flat(arrays)[0] - want).max() < 1e-6


def test_other_batches_than_one_are_refused_with_the_reason() -> None:
    with pytest.raises(Unsupported, match="IF decides for all samples") as caught:
        export(network(), TfliteOptions(batch=4))
    assert caught.value.where and "batch 1" in str(caught.value.hint)


def test_a_layer_of_a_later_exit_that_a_format_lacks_is_named_alone() -> None:
    graph = network()
    value = choice(graph).input(2)
    odd = graph.add(ops.Erf(), value, name="odd", before=choice(graph))
    graph.set_input(choice(graph), 2, odd)
    file = export(graph)  # Erf is rewritten
    assert read(file).subgraphs
    mode = TfliteOptions(micro=True)
    with pytest.raises(Unsupported) as caught:
        graph.set_input(choice(graph), 2, graph.add(ops.Pow(), odd, value, name="power", before=choice(graph)))
        export(graph, mode)
    assert "POW" in str(caught.value)
