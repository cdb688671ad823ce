"""What a .tflite source gives: names, parameters, places, one refusal for everything, and errors for what is damaged."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit import InputError, Unsupported
from edgekit.formats.tflite.model import Options
from edgekit.frontend.tflite.sparse import dense
from edgekit.frontend.tflite.table import lowerings
from edgekit.ir import N
from edgekit.ir.types import where_text
from tests.frontend.tflite.files import File, load_bytes


def small(f: File) -> bytes:
    x = f.input(1, 8, 8, 3)
    w = f.constant(f.random.standard_normal((4, 3, 3, 3)), name="model/stem/Conv2D")
    b = f.constant(f.random.standard_normal(4), name="model/stem/BiasAdd/ReadVariableOp/resource")
    y = f.op("CONV_2D", [x, w, b], (1, 8, 8, 4), table="Conv2DOptions", stride_h=1, stride_w=1, fused_activation_function=1)
    mean = f.op("MEAN", [y, f.ints(1, 2)], (1, 4), table="ReducerOptions")
    w = f.constant(f.random.standard_normal((2, 4)), name="model/head/MatMul")
    return f.content(f.op("FULLY_CONNECTED", [mean, w, -1], (1, 2), table="FullyConnectedOptions"))


def test_weights_are_trainable_parameters_named_after_their_layers(tmp_path: Path) -> None:
    graph = load_bytes(small(File()), tmp_path)
    assert graph.name == "net" and graph.inputs[0].shape == (N, 8, 8, 3) and graph.outputs[0].shape == (N, 2)
    module = graph.module()
    assert [name for name, _ in module.named_parameters()] == ["stem.weight", "stem.bias", "head.weight"]
    assert module.get_parameter("stem.weight").shape == (4, 3, 3, 3)
    module(torch.randn(2, 8, 8, 3)).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_nodes_know_their_operator_in_the_file(tmp_path: Path) -> None:
    graph = load_bytes(small(File()), tmp_path)
    node = next(node for node in graph.nodes if node.op.name == "linear")
    assert where_text(node.where) == "head (net.tflite:2, in FULLY_CONNECTED)"
    assert [node.name for node in graph.nodes if node.op.name == "conv2d"] == ["stem"]


def test_everything_that_cannot_be_translated_is_refused_at_once(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 6, 4)
    a = f.op("WHERE", [x], (3, 3), type="i8", table="WhereOptions")
    b = f.op("SVDF", [x, f.weight(4, 4), f.weight(4, 2), f.weight(4), f.state(1, 8)], (1, 4), table="SVDFOptions", rank=1)
    c = f.op("SEGMENT_SUM", [f.op("RELU", [x], (1, 6, 4)), f.ints([0])], (1, 6, 4))
    with pytest.raises(Unsupported) as error:
        load_bytes(f.content(a, b, c), tmp_path)
    text = str(error.value)
    assert "'SEGMENT_SUM'" in text and "depends on the data" in text and "keeps its past" in text
    for place in ("net.tflite:0, in WHERE", "net.tflite:1, in SVDF", "net.tflite:3, in SEGMENT_SUM"):
        assert place in text
    assert "try:" in text and "cut the model before it" in text


def test_a_batch_that_enters_a_computation_as_a_number_stays_what_the_file_was_made_for(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 6)
    shape = f.op("SHAPE", [x], (2,), type="i4", table="ShapeOptions", out_type=2)
    squares = f.op("MUL", [shape, shape], (2,), type="i4", table="MulOptions")
    floats = f.op("CAST", [f.op("RESHAPE", [squares, f.ints(2, 1)], (2, 1), type="i4")], (2, 1), table="CastOptions")
    graph = load_bytes(f.content(f.op("MUL", [x, floats], (2, 6), table="MulOptions")), tmp_path)
    assert graph.inputs[0].shape == (1, 6)
    assert torch.equal(graph.module()(torch.ones(1, 6)), torch.tensor([[1.0] * 6, [36.0] * 6]))


def test_an_option_that_no_lowering_heeds_is_refused_and_not_ignored(tmp_path: Path) -> None:
    f = File()
    y = f.op("FULLY_CONNECTED", [f.input(1, 4), f.weight(2, 4), -1], (1, 2), table="FullyConnectedOptions", weights_format=1)
    with pytest.raises(Unsupported, match="'FULLY_CONNECTED' with weights_format=1"):
        load_bytes(f.content(y), tmp_path)


def test_a_result_of_another_shape_than_the_file_says_is_damage(tmp_path: Path) -> None:
    f = File()
    y = f.op("FULLY_CONNECTED", [f.input(1, 4), f.weight(2, 4), -1], (1, 3), table="FullyConnectedOptions")
    with pytest.raises(InputError, match=r"operator 0 \(FULLY_CONNECTED\) .* its result is \[1, 2\], the file says \[1, 3\]"):
        load_bytes(f.content(y), tmp_path)


def test_samples_that_change_each_other_keep_the_batch_of_the_file(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 4)
    mean = f.op("MEAN", [x, f.ints([0])], (1, 4), table="ReducerOptions", keep_dims=True)
    graph = load_bytes(f.content(f.op("SUB", [x, mean], (1, 4), table="SubOptions")), tmp_path)
    assert graph.inputs[0].shape == (1, 4)
    assert "the batch stays that of the file: samples that run together change each other's outputs" in graph.notes


def test_an_input_without_batch_may_be_named(tmp_path: Path) -> None:
    f = File()
    x, bias = f.input(1, 4), f.input(1, 4)
    content = f.content(f.op("ADD", [x, bias], (1, 4), table="AddOptions"))
    graph = load_bytes(content, tmp_path, batch_axes={"x1": None})
    assert [value.shape for value in graph.inputs] == [(N, 4), (1, 4)]
    with pytest.raises(InputError, match="the file has no input 'y'"):
        load_bytes(content, tmp_path, batch_axes={"y": None})


def test_open_dimensions_want_a_shape(tmp_path: Path) -> None:
    f = File()
    x, w, b = f.input(1, 1, 1, 3, signature=(-1, -1, -1, 3)), f.weight(2, 3, 3, 3), f.weight(2)
    y = f.op("CONV_2D", [x, w, b], (1, 1, 1, 2), table="Conv2DOptions", stride_h=1, stride_w=1)
    content = f.content(y)
    with pytest.raises(InputError, match="leaves dimensions of its input 'x0' open") as error:
        load_bytes(content, tmp_path)
    assert "--input-shape x0=1,?,?,3" in str(error.value)
    graph = load_bytes(content, tmp_path, input_shapes=["1,10,12,3"])
    assert graph.outputs[0].shape == (N, 10, 12, 2)


def test_one_tensor_that_two_layers_read_is_one_parameter(tmp_path: Path) -> None:
    f = File()
    x, w = f.input(1, 4), f.weight(4, 4)
    y = f.op("FULLY_CONNECTED", [x, w, -1], (1, 4), table="FullyConnectedOptions")
    y = f.op("FULLY_CONNECTED", [y, w, -1], (1, 4), table="FullyConnectedOptions")
    graph = load_bytes(f.content(y), tmp_path)
    assert graph.parameters == 16 and len(graph.state) == 1


def test_a_sparse_weight_is_spread_out(tmp_path: Path) -> None:
    f = File()
    whole = np.zeros((3, 4), np.float32)
    whole[0, 1], whole[2, 0], whole[2, 3] = 1.0, 2.0, 3.0
    w = f.constant(np.array([1.0, 2.0, 3.0], np.float32))
    vector = {"array_segments": (0, 1, 1, 3), "array_indices": (1, 0, 3)}
    sparse: dict[str, object] = {"format": 1}
    for field, values in vector.items():
        sparse[field] = Options("Int32Vector", {"values": values})
    levels = (Options("DimensionMetadata", {"dense_size": 3}), Options("DimensionMetadata", sparse))  # type: ignore[arg-type]
    sparsity = Options("SparsityParameters", {"traversal_order": (0, 1), "dim_metadata": levels})
    tensor = replace(f.tensors[w], shape=(3, 4), sparsity=sparsity)
    np.testing.assert_array_equal(dense(tensor), whole)
    broken = replace(tensor, data=tensor.data[:8])  # type: ignore[index]
    with pytest.raises(InputError, match=r"sparse tensor .* is damaged"):
        dense(broken)


def test_the_file_itself_is_what_the_graph_is_compared_with(tmp_path: Path) -> None:
    graph = load_bytes(small(File()), tmp_path)
    x = torch.randn(3, 8, 8, 3)
    torch.testing.assert_close(graph.source(x), graph.module().eval()(x), rtol=1e-4, atol=1e-5)


def test_a_file_that_is_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"no flatbuffer at all")
    with pytest.raises(InputError, match="not a TensorFlow Lite file"):
        ek.load(path)


def test_the_documents_list_the_operators_that_are_read() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    found = re.search(r"\*\*Operators\*\* that are read \((\d+)\).*?\n\n(.*?)\n\n", text, re.DOTALL)
    assert found is not None
    listed = re.findall(r"`(\w+)`", found[2])
    assert listed == sorted(op.name for op, entry in lowerings().items() if not entry.refuses) and int(found[1]) == len(listed)
