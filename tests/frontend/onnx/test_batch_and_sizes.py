"""The batch of an ONNX file becomes N, sizes that follow it are resolved while loading, all other sizes must be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit import InputError, Unsupported
from edgekit.ir.types import Batch, N
from edgekit.runtime.onnx_runtime import OnnxRuntime
from tests.frontend.onnx.models import array, assert_as_in_runtime, load, model, node, rand, run, save

INT = np.int64


def flattened_by_shape(batch: str | int = "batch") -> object:
    """``x.view(x.size(0), -1)`` as exporters write it."""
    return model(
        [
            node("Shape", ["x"], ["sizes"]),
            node("Gather", ["sizes", "zero"], ["n"], axis=0),
            node("Unsqueeze", ["n", "axes"], ["n1"]),
            node("Concat", ["n1", "rest"], ["shape"], axis=0),
            node("Reshape", ["x", "shape"], ["flat"]),
            node("Gemm", ["flat", "w", "b"], ["y"], transB=1),
        ],
        {"x": [batch, 3, 4]},
        ["y"],
        {
            "zero": np.asarray(0, INT),
            "axes": np.asarray([0], INT),
            "rest": np.asarray([-1], INT),
            "w": array(5, 12),
            "b": array(5),
        },
    )


def test_a_shape_computed_from_the_batch_is_resolved_and_leaves_nothing_behind() -> None:
    proto = flattened_by_shape()
    for batch in (1, 3):
        graph = assert_as_in_runtime(proto, rand(batch, 3, 4))
    assert [item.op.name for item in graph.nodes] == ["reshape", "linear"]
    assert graph.inputs[0].shape == (N, 3, 4) and graph.outputs[0].shape == (N, 5)


def test_a_fixed_batch_stays_fixed_unless_it_is_named() -> None:
    assert load(flattened_by_shape(1)).outputs[0].shape == (1, 5)
    assert load(flattened_by_shape(1), batch_axes={"x": 0}).outputs[0].shape == (N, 5)
    fixed = load(flattened_by_shape(), batch_axes={"x": None}, input_shapes=["2,3,4"])
    assert fixed.inputs[0].shape == (2, 3, 4)


def test_the_batch_is_found_by_its_name_on_other_axes() -> None:
    proto = model([node("Add", ["x", "state"], ["y"])], {"x": ["batch", 4], "state": [2, "batch", 4]}, ["y"])
    graph = load(proto)
    assert [value.shape for value in graph.inputs] == [(N, 4), (2, N, 4)]
    proto = model([node("Relu", ["h"], ["y"])], {"h": [2, "batch", 4]}, ["y"])
    assert load(proto).inputs[0].shape == (2, N, 4)


def test_other_free_sizes_are_told_together_and_taken_from_input_shapes_or_examples(tmp_path: Path) -> None:
    proto = model(
        [node("Relu", ["x"], ["y"]), node("Relu", ["z"], ["w"])],
        {"x": ["N", 3, "height", "width"], "z": ["N", "time"]},
        ["y", "w"],
    )
    with pytest.raises(Unsupported, match=r"'height'.*'x'.*'time'.*'z'") as error:
        load(proto)
    assert "--input-shape" in (error.value.hint or "")
    graph = load(proto, input_shapes=["x=1,3,8,10", "z=1,7"])
    assert [value.shape for value in graph.inputs] == [(N, 3, 8, 10), (N, 7)]
    path = save(proto, tmp_path)
    for examples in ((rand(2, 3, 8, 10), rand(2, 7)), {"z": rand(2, 7), "x": rand(2, 3, 8, 10)}):
        assert [value.shape for value in ek.load(path, examples).inputs] == [(N, 3, 8, 10), (N, 7)]
    with pytest.raises(InputError, match="axis 1 of the input 'x' is 3 in the file, not 4"):
        load(proto, input_shapes=["x=1,4,8,10", "z=1,7"])
    with pytest.raises(InputError, match="no input 'q'"):
        load(proto, input_shapes=["q=1"])


def test_sizes_are_computed_with_as_exporters_do() -> None:
    """Upsampling by a factor, through Shape, Slice, Cast, Mul, Floor and Concat."""
    proto = model(
        [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", "two", "four"], ["hw"]),
            node("Cast", ["hw"], ["hwf"], to=1),
            node("Mul", ["hwf", "factor"], ["big"]),
            node("Floor", ["big"], ["floored"]),
            node("Cast", ["floored"], ["hw2"], to=7),
            node("Slice", ["s", "nought", "two"], ["nc"]),
            node("Concat", ["nc", "hw2"], ["sizes"], axis=0),
            node(
                "Resize", ["x", "", "", "sizes"], ["y"], mode="nearest", coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
        ],
        {"x": ["b", 3, 4, 5]},
        ["y"],
        {
            "nought": np.asarray([0], INT),
            "two": np.asarray([2], INT),
            "four": np.asarray([4], INT),
            "factor": np.asarray([2.0, 2.0], np.float32),
        },
    )  # fmt: skip
    graph = assert_as_in_runtime(proto, rand(2, 3, 4, 5))
    assert [item.op.name for item in graph.nodes] == ["resize"]


def test_expanding_to_a_shape_with_minus_ones_is_resolved() -> None:
    """What torch writes for ``expand``: Where(shape == -1, ones, shape)."""
    proto = model(
        [
            node("Shape", ["x"], ["s"], end=1),
            node("Concat", ["s", "tail"], ["wanted"], axis=0),
            node("Equal", ["wanted", "minus"], ["free"]),
            node("Where", ["free", "ones", "wanted"], ["shape"]),
            node("Expand", ["c", "shape"], ["tokens"]),
            node("Concat", ["tokens", "x"], ["y"], axis=1),
        ],
        {"x": ["batch", 2, 4]},
        ["y"],
        {
            "tail": np.asarray([-1, -1], INT),
            "minus": np.asarray([-1, -1, -1], INT),
            "ones": np.ones(3, INT),
            "c": array(1, 1, 4),
        },
    )
    graph = load(proto)
    x = rand(3, 2, 4)
    (y,) = run(graph, x)
    assert y.shape == (3, 3, 4) and torch.equal(y[:, 1:], x)
    assert graph.outputs[0].shape == (N, 3, 4)


def test_a_dimension_may_be_a_multiple_of_the_batch() -> None:
    proto = model([node("Reshape", ["x", "shape"], ["y"])], {"x": ["n", 3, 4]}, ["y"], {"shape": np.asarray([-1, 2], INT)})
    assert load(proto).outputs[0].shape == (Batch(6), 2)


def test_what_contradicts_a_free_batch_is_refused_with_the_nodes_name() -> None:
    fixed = model(
        [node("Reshape", ["x", "shape"], ["y"], name="head/flatten")],
        {"x": ["n", 3, 4]},
        ["y"],
        {"shape": np.asarray([1, 12], INT)},
    )
    with pytest.raises(Unsupported, match=r"'Reshape' makes \[1,12\] of float32\[N,3,4\]") as error:
        load(fixed)
    assert error.value.where == "head/flatten" and "one batch size" in (error.value.hint or "")
    number = model(
        [node("Shape", ["x"], ["s"], end=1), node("Cast", ["s"], ["f"], to=1), node("Div", ["x", "f"], ["y"], name="mean")],
        {"x": ["n", 3]},
        ["y"],
    )
    with pytest.raises(Unsupported, match="the batch size enters a computation as a number") as error:
        load(number)
    assert error.value.where == "mean"


@pytest.mark.parametrize(
    ("kind", "gates", "options"),
    [("LSTM", 4, {}), ("GRU", 3, {"linear_before_reset": 1}), ("GRU", 3, {"linear_before_reset": 0}), ("RNN", 1, {})],
    ids=["LSTM", "GRU", "GRU, reset before", "RNN"],
)
def test_an_initial_state_of_the_file_is_that_of_every_sample(
    kind: str, gates: int, options: dict[str, int], tmp_path: Path
) -> None:
    weights = {"w": array(1, 5 * gates, 4), "r": array(1, 5 * gates, 5), "b": array(1, 10 * gates)}
    states = {name: array(1, 1, 5) for name in ("h", "c")[: 2 if kind == "LSTM" else 1]}
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node(kind, ["t", "w", "r", "b", "", *states], ["all", "last"], hidden_size=5, **options),
        node("Squeeze", ["last", "axis"], ["y"]),
    ]
    proto = model(nodes, {"x": [1, 6, 4]}, ["y"], {**weights, **states, "axis": np.asarray([0], INT)})
    graph = ek.load(str(save(proto, tmp_path)))
    assert graph.outputs[0].shape == (N, 5)
    x = rand(3, 6, 4)
    runtime = OnnxRuntime(proto.SerializeToString())
    want = np.concatenate([runtime.invoke([sample.numpy()])[0] for sample in x.split(1)])
    np.testing.assert_allclose(run(graph, x)[0].numpy(), want, rtol=0, atol=1e-6)
