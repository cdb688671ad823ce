"""``edgekit ops`` lists what there is, and what it says is true of the exporters and the quantiser."""

from __future__ import annotations

import json

import pytest

from edgekit.cli import main
from edgekit.ir.ops import OPS
from edgekit.op_support import supported_ops, torch_ops


def test_every_op_of_the_graph_is_listed_with_its_meaning() -> None:
    known = supported_ops()
    assert [op.name for op in known] == sorted(name for name, op in OPS.items() if not op.only_in_training)
    assert set(OPS) - {op.name for op in known} == {"binary_weight", "fake_quantize"}
    assert all(op.meaning for op in known)
    assert all(op.onnx == "operator" and op.tflite != "none" for op in known)


def test_forms_are_those_of_the_exporters() -> None:
    known = {op.name: op for op in supported_ops()}
    assert (known["conv2d"].tflite, known["conv2d"].int8["litert"]) == ("operator", "integer")
    assert (known["attention"].tflite, known["attention"].int8["litert"]) == ("rewritten", "float")
    assert (known["layer_norm"].tflite, known["layer_norm"].int8["litert"]) == ("rewritten", "float")
    assert known["reshape"].int8["litert"] == "follows"
    assert known["matmul"].int8 == {"litert": "float", "onnxruntime": "integer", "tflm": "integer"}


def test_pytorch_ops_are_listed_once_without_overloads() -> None:
    names = torch_ops()
    assert len(names) == len(set(names)) > 150
    assert {"aten.conv2d", "aten.linear", "aten.scaled_dot_product_attention"} <= set(names)
    assert not [name for name in names if name.endswith(".default")]


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops"]) == 0
    out = capsys.readouterr().out
    assert "conv2d" in out and "scaled_dot_product_attention" in out and "\x1b" not in out
    assert main(["ops", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "edgekit.ops/1" and len(document["graph"]) == len(OPS) - 2
    assert {"Conv", "LSTM", "Resize"} <= set(document["onnx"])


def test_a_word_shows_the_operators_that_have_it_with_their_notes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "grid_sample"]) == 0
    out = capsys.readouterr().out
    assert "F.grid_sample" in out and "refused" in out and "nn.Conv2d" not in out
    assert main(["ops", "no such thing"]) == 0
    assert "no operator has 'no such thing'" in capsys.readouterr().out


def test_the_operators_are_part_of_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "--json", "pools"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["operators"]}
    assert rows["nn.MaxPool2d"]["support"]["tflite-int8"] == "integers"
    assert all(row["family"] == "Pools" for row in rows.values())
