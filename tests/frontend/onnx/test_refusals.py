"""What an ONNX file holds and the graph cannot is told once, all of it, with the nodes' names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgekit as ek
from edgekit import InputError, Unsupported
from edgekit.cli import main
from tests.frontend.onnx.models import array, assert_as_in_runtime, load, model, node, rand, save


def test_all_operators_without_a_form_are_reported_together() -> None:
    proto = model(
        [
            node("NonZero", ["x"], ["a"], name="find"),
            node("Cast", ["a"], ["b"], to=1),
            node("Bernoulli", ["b"], ["c"], name="draw"),
            node("Relu", ["c"], ["y"]),
        ],
        {"x": ["n", 4]},
        ["y"],
    )
    with pytest.raises(Unsupported) as error:
        load(proto)
    text = str(error.value)
    assert "'NonZero' of opset 17" in text and "'Bernoulli' of opset 17" in text
    assert "find" in text and "draw" in text and "edgekit ops" in text and error.value.exit_code == 4


def test_inputs_without_a_form_are_told_with_the_operators() -> None:
    proto = model(
        [node("StringNormalizer", ["text"], ["t"]), node("NonZero", ["x"], ["y"]), node("Det", ["wide"], ["z"])],
        {"text": [2], "x": ["n", 4, 4], "wide": ["n", "w", 4]},
        ["t", "y", "z"],
        types={"text": TensorProto.STRING, "t": TensorProto.STRING, "y": TensorProto.INT64},
    )
    with pytest.raises(Unsupported) as error:
        load(proto)
    text = str(error.value)
    assert "the input 'text' is of string" in text and "axis 1 ('w') of 'wide'" in text
    assert "'StringNormalizer' of opset 17" in text and "'NonZero' of opset 17" in text and "'Det' of opset 17" in text


def test_operators_of_other_domains_are_refused_by_name() -> None:
    proto = model(
        [node("FusedGelu", ["x"], ["y"], domain="com.acme", name="act")], {"x": ["n", 4]}, ["y"], domains=[("com.acme", 1)]
    )
    with pytest.raises(Unsupported, match=r"'FusedGelu' is an operator of 'com\.acme', not of ONNX") as error:
        load(proto)
    assert error.value.where == "act"


def test_corners_of_a_part_of_an_element_are_refused() -> None:
    def resized(factor: float) -> object:
        nodes = [node("Resize", ["x", "", "s"], ["y"], mode="linear", coordinate_transformation_mode="align_corners")]
        return model(nodes, {"x": ["n", 3, 5, 7]}, ["y"], {"s": np.asarray([1, 1, factor, 1], np.float32)})

    assert_as_in_runtime(resized(1.6), rand(2, 3, 5, 7))
    with pytest.raises(Unsupported, match=r"aligns the corners of 7\.5 elements") as error:
        load(resized(1.5))
    assert "sizes in place of factors" in (error.value.hint or "")


def looped(count: object, going: str = "") -> object:
    body = helper.make_graph(
        [
            node("Mul", ["v", "factor"], ["v2"]),
            node("ReduceMax", ["v2"], ["most"], keepdims=0),
            node("Identity", ["c"] if going != "computed" else ["go_on"], ["c2"]),
            *([node("Less", ["most", "limit"], ["go_on"])] if going == "computed" else []),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, [2]),
        ],
        [numpy_helper.from_array(np.asarray([2.0, 3.0], np.float32), "factor")],
    )
    nodes = [node("Loop", ["count", "", "x"], ["y"], body=body, name="steps")]
    if count is None:
        return model(nodes, {"x": [2], "count": []}, ["y"], types={"count": TensorProto.INT64})
    return model(nodes, {"x": [2]}, ["y"], {"count": np.int64(count), "limit": np.float32(9)})  # type: ignore[call-overload]


def test_a_loop_whose_steps_are_in_the_file_is_written_out_and_shares_its_weights() -> None:
    graph = assert_as_in_runtime(looped(3), rand(2))
    assert [item.op.name for item in graph.nodes] == ["mul", "mul", "mul"] and list(graph.state) == ["factor"]


@pytest.mark.parametrize(
    ("proto", "what"),
    [(looped(None), "decides while running how often"), (looped(3, "computed"), "decides while running how often"),
     (looped(300), "goes around more than 256 times")],
    ids=["a count that is an input", "a condition that is computed", "too many steps"],
)  # fmt: skip
def test_other_loops_are_refused(proto: object, what: str) -> None:
    with pytest.raises(Unsupported, match=f"'Loop' {what}") as error:
        load(proto)
    assert error.value.where == "steps" and "unroll" in (error.value.hint or "")


def test_a_scan_is_written_out_in_the_order_of_its_directions() -> None:
    body = helper.make_graph(
        [node("Add", ["h", "now"], ["sum"]), node("Tanh", ["sum"], ["h2"]), node("Identity", ["h2"], ["out"])],
        "body",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("h", "now")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("h2", "out")],
    )
    for ways in ({}, {"scan_input_directions": [1], "scan_output_directions": [1], "scan_output_axes": [-1]}):
        scan = node("Scan", ["h0", "x"], ["last", "all"], body=body, num_scan_inputs=1, scan_input_axes=[1], **ways)
        assert_as_in_runtime(
            model([scan], {"h0": ["n", 3], "x": ["n", 5, 3]}, ["last", "all"]), rand(4, 3), rand(4, 5, 3, seed=1)
        )


def branches(value: str) -> dict[str, object]:
    def graph(op: str) -> object:
        return helper.make_graph(
            [node(op, [value], [f"{op}_out"])], op, [], [helper.make_tensor_value_info(f"{op}_out", 1, None)]
        )

    return {"then_branch": graph("Relu"), "else_branch": graph("Neg")}


def test_a_branch_whose_condition_is_in_the_file_is_taken() -> None:
    for condition, op in ((True, "relu"), (False, "neg")):
        proto = model([node("If", ["c"], ["y"], **branches("x"))], {"x": [2, 3]}, ["y"], {"c": np.asarray(condition)})
        graph = assert_as_in_runtime(proto, rand(2, 3))
        assert [item.op.name for item in graph.nodes] == [op]


def test_a_branch_that_is_chosen_while_running_is_refused() -> None:
    proto = model(
        [node("If", ["c"], ["y"], name="gate", **branches("x"))], {"x": [2, 3], "c": []}, ["y"], types={"c": TensorProto.BOOL}
    )
    with pytest.raises(Unsupported, match="'If' decides while running which branch is computed") as error:
        load(proto)
    assert error.value.where == "gate"


def test_functions_of_the_file_stand_in_for_their_calls() -> None:
    function = helper.make_function(
        "local", "Scaled", ["a"], ["b"],
        [node("Constant", [], ["k"]), node("Mul", ["a", "k"], ["b"], name="mul")],
        [helper.make_opsetid("", 17)], ["factor"],
    )  # fmt: skip
    reference = function.node[0].attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "value_float", "factor", 1
    proto = model(
        [
            node("Scaled", ["x"], ["h"], domain="local", factor=2.0, name="first"),
            node("Scaled", ["h"], ["y"], domain="local", factor=3.0, name="second"),
        ],
        {"x": ["n", 4]},
        ["y"],
        functions=[function],
        domains=[("local", 1)],
    )
    graph = assert_as_in_runtime(proto, rand(2, 4))
    assert [str(item.where[0]) for item in graph.nodes] == ["first/mul", "second/mul"]


def test_a_function_that_calls_itself_is_refused() -> None:
    function = helper.make_function(
        "local", "Again", ["a"], ["b"], [node("Again", ["a"], ["b"], domain="local")],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )  # fmt: skip
    proto = model(
        [node("Again", ["x"], ["y"], domain="local")], {"x": ["n", 4]}, ["y"], functions=[function], domains=[("local", 1)]
    )
    with pytest.raises(Unsupported, match="stands inside 16 other functions"):
        load(proto)


def test_operators_that_onnx_defines_by_others_are_written_out() -> None:
    proto = model(
        [node("NegativeLogLikelihoodLoss", ["x", "t"], ["y"], reduction="sum", name="loss")],
        {"x": [3, 4]},
        ["y"],
        {"t": np.asarray([1, 0, 3])},
    )
    graph = assert_as_in_runtime(proto, rand(3, 4))
    assert {str(item.where[0]) for item in graph.nodes} == {"loss"}


def test_types_and_outputs_that_the_graph_lacks_are_named() -> None:
    with pytest.raises(Unsupported, match="the input 'x' is of uint16"):
        load(model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"], types={"x": TensorProto.UINT16}))
    pooled = model([node("MaxPool", ["x"], ["y", "where"], kernel_shape=[2])], {"x": ["n", 3, 8]}, ["y", "where"])
    with pytest.raises(Unsupported, match="output 'where' has no form"):
        load(pooled)


def test_opsets_and_formats_that_are_unknown_are_refused() -> None:
    old = model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"], opset=5)
    with pytest.raises(Unsupported, match="opset 5 is not read") as error:
        load(old)
    assert "version_converter" in (error.value.hint or "")
    new = model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"], opset=999)
    with pytest.raises(Unsupported, match="opset 999 is not read"):
        load(new)
    later = model([node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"])
    later.ir_version = 99
    with pytest.raises(Unsupported, match="format version 99"):
        load(later)


def test_a_refused_value_of_an_operator_names_the_operator_and_the_node() -> None:
    proto = model([node("Conv", ["x", "w"], ["y"], name="c3")], {"x": ["n", 1, 4, 4, 4]}, ["y"], {"w": array(1, 1, 2, 2, 2)})
    with pytest.raises(Unsupported, match="'Conv' slides over 3 dimensions") as error:
        load(proto)
    assert error.value.where == "c3"


def test_the_command_line_takes_the_file_and_reports_its_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(model([node("NonZero", ["x"], ["y"], name="find")], {"x": ["n", 4]}, ["y"], types={"y": 7}), tmp_path)
    assert main(["build", str(path), "--target", "onnx-fp32", "--output", str(tmp_path / "out")]) == 4
    assert "find" in capsys.readouterr().err
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    assert main(["build", str(tmp_path / "bad.onnx"), "--target", "onnx-fp32", "--output", str(tmp_path / "out")]) == 2
    with pytest.raises(InputError, match="not an ONNX file"):
        ek.load(tmp_path / "bad.onnx")
