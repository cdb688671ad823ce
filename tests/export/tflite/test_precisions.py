"""Weights in 16 and in 8 bits beside float activations, and what TFLite Micro refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.compress.quantize.dynamic_range import quantize_weights_only
from edgekit.compress.quantize.params import weight_params
from edgekit.errors import Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.frontend.source import load
from edgekit.ir import Graph, N, QuantParams, ops
from edgekit.ir import TensorType as Type
from edgekit.metrics import sqnr_db
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from tests import tflite_runtimes
from tests.export.onnx.one_op import one_op, randn
from tests.export.tflite.running import op_counts


class Net(nn.Module):
    """Convolution, depthwise convolution, a table and dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 64, 1), nn.ReLU()
        )
        self.one, self.two = nn.Linear(64, 64, bias=False), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(self.body(x).mean((2, 3))).relu())


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    return run_passes(load(Net().eval(), (torch.randn(1, 3, 10, 10),)), EXACT)[0]


IMAGES = np.random.default_rng(0).standard_normal((6, 3, 10, 10)).astype(np.float32)


def sqnr(want: np.ndarray, got: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(10 * np.log10((want**2).sum() / ((want - got) ** 2).sum()))


def old(file: bytes) -> np.ndarray:  # type: ignore[type-arg]
    return tflite_runtimes.run_2_14(file, [[x[None].transpose(0, 2, 3, 1)] for x in IMAGES])[0][:, 0]


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_a_file_with_narrow_weights_is_small_and_nearly_exact_in_every_runtime(kind: str, graph: Graph) -> None:
    plain = export(graph)
    want = Artifact(plain).run(IMAGES)
    narrow = export(graph, TfliteOptions(float16=True)) if kind == "float16" else export(quantize_weights_only(graph))
    assert len(narrow) < (0.6 if kind == "float16" else 0.5) * len(plain)
    floor = 55 if kind == "float16" else 25
    for kernels in ("default", "reference", "builtin"):
        assert sqnr(want, Artifact(narrow, kernels=kernels).run(IMAGES)) > floor  # type: ignore[arg-type]
    assert sqnr(want, old(narrow)) > floor


def test_weights_in_16_bits_are_expanded_once_each(graph: Graph) -> None:
    file = export(graph, TfliteOptions(float16=True))
    halves = [t for t in read(file).main.tensors if t.type == TensorType.FLOAT16]
    assert op_counts(file)["DEQUANTIZE"] == len(halves) == 5
    assert all(o.version == 3 for o in read(file).main.operators if o.name == "DEQUANTIZE")


@pytest.mark.parametrize(("size", "narrow"), [(1e-7, False), (1e-3, True), (1e3, True), (1e6, False)])
def test_weights_that_16_bits_cannot_resolve_keep_32(size: float, narrow: bool) -> None:
    file = export(one_op(ops.Linear(), "float32[N,64]", size * randn(40, 64)), TfliteOptions(float16=True))
    assert ("DEQUANTIZE" in op_counts(file)) == narrow
    plain, x = export(one_op(ops.Linear(), "float32[N,64]", size * randn(40, 64))), IMAGES.reshape(6, -1)[:, :64]
    assert sqnr_db(Artifact(plain).run(x), Artifact(file).run(x)) > 55


def test_an_index_that_the_model_converts_is_an_int32_in_the_file() -> None:
    for keepdim in (False, True):
        graph = one_op(ops.Argmax(1, keepdim), "float32[N,8]")
        graph.outputs = [graph.add(ops.Cast("int32"), graph.outputs[0])]
        file = export(graph, TfliteOptions(micro=True))
        assert op_counts(file)["ARG_MAX"] == 1 and "CAST" not in op_counts(file)
        x = np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)
        wanted = x.argmax(1, keepdims=keepdim)
        np.testing.assert_array_equal(Artifact(file).run(x), wanted)
        np.testing.assert_array_equal(tflite_runtimes.run_micro(file, [[x]])[0][0], wanted)


def test_scales_per_channel_of_a_dense_layer_stand_behind_the_kernel_that_has_one() -> None:
    weight = randn(40, 64) * torch.logspace(-2, 1, 40)[:, None]
    graph = one_op(ops.Linear(activation="relu"), "float32[N,64]", weight, randn(40))
    before = Artifact(export(graph)).run(IMAGES.reshape(6, -1)[:, :64])
    value = graph.nodes[0].input(1)
    value.quant = weight_params(value.tensor, 0)
    file = export(graph)
    assert op_counts(file) == {"FULLY_CONNECTED": 1, "MUL": 1, "ADD": 1}
    assert sqnr(before, Artifact(file).run(IMAGES.reshape(6, -1)[:, :64])) > 30
    assert {o.name: o.version for o in read(file).main.operators}["FULLY_CONNECTED"] == 9


def test_an_integer_table_is_read_before_it_is_expanded() -> None:
    graph = one_op(ops.Gather(), randn(50, 8), "int64[N,3]")
    graph.nodes[0].input(0).quant = QuantParams("int8", (0.05,), (0,))
    file = export(graph)
    assert op_counts(file) == {"GATHER": 1, "DEQUANTIZE": 1}
    index = np.array([[1, 2, 49], [0, 0, 3]])
    np.testing.assert_allclose(Artifact(file).run(index), randn(50, 8).numpy()[index].clip(-6.4, 6.35), atol=0.0251)


def test_a_constant_in_integers_that_no_kernel_takes_is_expanded() -> None:
    graph = one_op(ops.Mul(), "float32[N,4]", torch.tensor([1.0, 2.0, -3.0, 0.5]))
    graph.nodes[0].input(1).quant = QuantParams("int8", (0.5,), (0,))
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(Artifact(export(graph)).run(x), [[1.0, 2.0, -3.0, 0.5]])


REFUSED_BY_MICRO = [
    (lambda: one_op(ops.Gelu(), "float32[N,8]"), "no operator GELU"),
    (lambda: one_op(ops.Pow(), "float32[N,8]", torch.tensor(2.0)), "no operator POW"),
    (lambda: one_op(ops.Argmax(1), "float32[N,8]"), "takes no int64"),
    (lambda: one_op(ops.Gather(), randn(50, 8), "int64[N,3]"), "takes no int64"),
    (lambda: quantize_weights_only(one_op(ops.Linear(), "float32[N,64]", randn(32, 64))), "integer weights beside float"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED_BY_MICRO, ids=lambda value: value if isinstance(value, str) else "")
def test_tflite_micro_refuses_what_it_lacks_before_the_file_is_written(make: object, message: str) -> None:
    graph = make()  # type: ignore[operator]
    export(graph)
    with pytest.raises(Unsupported, match=message) as caught:
        export(graph, TfliteOptions(micro=True))
    assert caught.value.where and caught.value.hint


def test_all_that_tflite_micro_lacks_is_named_together() -> None:
    graph = Graph()
    x = graph.add_input("x", Type(torch.float32, (N, 8)))
    graph.outputs = [
        graph.add(ops.Gelu(), graph.add(ops.Pow(), x, graph.constant(torch.tensor(2.0)), name="power"), name="gelu")
    ]
    with pytest.raises(Unsupported, match="2 things") as caught:
        export(graph, TfliteOptions(micro=True))
    assert "power" in str(caught.value.where) and "gelu" in str(caught.value.where)


@pytest.mark.parametrize("count", [10, 11, 21, 100])
def test_micro_joins_more_tensors_than_its_kernel_takes_in_steps(count: int) -> None:
    graph = Graph()
    x = graph.add_input("x", Type(torch.float32, (N, 3)))
    rows = [graph.add(ops.Mul(), x, graph.constant(torch.tensor(float(k)))) for k in range(count)]
    graph.outputs = [graph.add(ops.Concat(1), *rows)]
    file = export(graph, TfliteOptions(micro=True))
    joins = [operator for operator in read(file).main.operators if operator.name == "CONCATENATION"]
    assert max(len(operator.inputs) for operator in joins) <= 10
    numbers = np.array([[1.0, -2.0, 0.5]], np.float32)
    wanted = np.concatenate([numbers * k for k in range(count)], 1)
    np.testing.assert_allclose(tflite_runtimes.run_micro(file, [[numbers]])[0][0], wanted)
    assert sum(o.name == "CONCATENATION" for o in read(export(graph)).main.operators) == 1


def test_what_micro_runs_in_another_form_gives_the_same_numbers() -> None:
    for op in (ops.Tile((1, 2, 3)), ops.Clamp(-1.0, 1.0), ops.Tile((2, 1, 1, 2))):
        graph = one_op(op, "float32[N,3,5]" if not isinstance(op, ops.Tile) or len(op.repeats) == 3 else "float32[1,1,3,5]")
        x = np.random.default_rng(0).standard_normal(graph.inputs[0].type.at(1)).astype(np.float32)
        micro = tflite_runtimes.run_micro(export(graph, TfliteOptions(micro=True, layout="source")), [[x]])[0]
        np.testing.assert_allclose(micro[0], op.run(torch.from_numpy(x)).numpy(), atol=1e-6)


def test_refusals_in_a_model_are_all_found_although_they_hang_on_each_other() -> None:
    graph = Graph()
    x = graph.add_input("x", Type(torch.float32, (N, 4, 8)))
    weight = graph.add_input("w", Type(torch.float32, (5, 4, 3)))
    y = graph.add(ops.Conv1d(), x, weight, name="first")
    graph.outputs = [graph.add(ops.Cast("float64"), y, name="second"), graph.add(ops.Cast("float16"), x, name="third")]
    with pytest.raises(Unsupported, match="2 things") as caught:
        export(graph)
    assert "first" in str(caught.value.where) and "third" in str(caught.value.where)
    assert "second" not in str(caught.value.where)


def test_inputs_of_types_without_kernels_are_refused_by_name() -> None:
    graph = Graph()
    given = [graph.add_input(name, Type(torch.float16, (N, 4))) for name in ("left", "right")]
    graph.outputs = [graph.add(ops.Add(), *given)]
    with pytest.raises(Unsupported, match="2 inputs") as caught:
        export(graph)
    assert "input 'left': TFLite's kernels do not compute with float16\ninput 'right'" in str(caught.value.where)


@pytest.mark.parametrize(
    "op", [ops.Mean((3,)), ops.Amax((2,)), ops.Softmax(), ops.Split(1, (1, 2)), ops.Pad(((0, 0),) * 6 + ((1, 1),))]
)
def test_more_dimensions_than_kernels_take_are_refused_by_name(op: ops.Op) -> None:
    with pytest.raises(Unsupported, match="takes no tensor of 7 dimensions") as error:
        export(one_op(op, "float32[N,3,2,2,1,2,2]"))
    assert "view(...)" in (error.value.hint or "")
