"""``ek.compare`` and ``edgekit compare`` between graphs, modules and artifacts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.cli import main
from edgekit.cli.compare_command import KERNELS
from edgekit.comparison import Comparison, compare
from edgekit.errors import InputError
from edgekit.export.onnx.convert import export as to_onnx
from edgekit.export.tflite.exporter import export as to_tflite
from edgekit.formats.io_metadata import IO_KEY
from edgekit.ir import QuantParams
from edgekit.ir.text import parse
from edgekit.runtime.litert import Kernels
from tests.ir import networks


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms")
    graph = networks.inverted_residuals()
    graph.save(folder / "net.ekg")
    (folder / "net.tflite").write_bytes(to_tflite(graph))
    (folder / "net.onnx").write_bytes(to_onnx(graph))
    return folder


@pytest.mark.parametrize("other", ["net.tflite", "net.onnx"])
def test_a_float_artifact_is_its_graph_up_to_rounding(other: str, files: Path) -> None:
    found = ek.compare(files / "net.ekg", files / other, samples=6)
    assert [row.name for row in found.outputs] == ["softmax", "mean_3"]
    assert found.samples == 6 and found.data == "random" and found.layers == ()
    for row in found.outputs:
        assert row.sqnr_db > 90 and row.max_abs_error < 1e-3
    assert found.outputs[0].top1_agreement == 1.0 and found.outputs[0].shape == (10,)


def test_two_artifacts_are_compared_without_any_graph(files: Path) -> None:
    assert compare(files / "net.tflite", files / "net.onnx", samples=3).outputs[0].sqnr_db > 90
    same = compare(files / "net.onnx", files / "net.onnx", samples=3)
    assert same.identical and same.outputs[0].sqnr_db == math.inf


def test_layers_of_two_graphs_are_compared_by_name() -> None:
    graph = parse("""
        graph g(%x: float32[N,4])
          @a: float32[8,4] parameter
          @b: float32[3,8] parameter
          %h = linear(%x, @a)
          %r = relu(%h)
          %y = linear(%r, @b)
          return %y
    """)
    rounded = graph.copy()
    rounded.value("r").quant = QuantParams("int8", (0.05,), (-128,))
    found = compare(graph, rounded, np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32))
    assert [row.name for row in found.layers] == ["h", "r", "y"]
    assert found.layers[0].sqnr_db == math.inf and found.layers[1].sqnr_db < 50
    assert found.layers[2].sqnr_db == pytest.approx(found.outputs[0].sqnr_db, abs=1e-3)
    assert found.samples == 40 and not found.identical


def test_a_module_is_compared_with_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    (tmp_path / "net.tflite").write_bytes(to_tflite(ek.load(module, torch.zeros(1, 3, 8, 8))))
    found = compare(module, tmp_path / "net.tflite", example_inputs=torch.zeros(1, 3, 8, 8), samples=4)
    assert found.outputs[0].sqnr_db > 90


def test_data_comes_from_a_file_and_is_limited(files: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(9, 3, 32, 32)).astype(np.float32))
    found = compare(files / "net.ekg", files / "net.onnx", tmp_path / "data.npz", samples=5)
    assert found.samples == 5 and found.data.endswith("data.npz")
    with pytest.raises(InputError, match="has shape"):
        compare(files / "net.ekg", files / "net.onnx", np.zeros((2, 3, 16, 16), np.float32))


def test_raw_values_reach_a_file_that_preprocesses_and_the_model_gets_them_normalised(tmp_path: Path) -> None:
    source = parse(
        "graph g(%x: float32[N,3,4,4])\n @w: float32[2,48]\n %f = reshape(%x, shape=(N, 48))\n %y = linear(%f, @w)\n return %y"
    )
    built = source.copy()
    x, first = built.inputs[0], built.nodes[0]
    from edgekit.ir import ops

    scaled = built.add(ops.Mul(), x, built.constant(torch.tensor(1 / (255 * 0.25))), before=first)
    normal = built.add(ops.Sub(), scaled, built.constant(torch.tensor(0.5 / 0.25)), before=first)
    built.set_input(first, 0, normal)
    record = {"inputs": [{"preprocessing": {"scale": 255.0, "mean": [0.5], "std": [0.25]}}], "outputs": [{}], "structure": 0}
    (tmp_path / "net.onnx").write_bytes(to_onnx(built, metadata={IO_KEY: json.dumps(record)}))
    for data in (None, np.random.default_rng(0).integers(0, 256, (7, 3, 4, 4)).astype(np.uint8)):
        assert compare(source, tmp_path / "net.onnx", data).outputs[0].sqnr_db > 90
        assert compare(tmp_path / "net.onnx", source, data).outputs[0].sqnr_db > 90


def test_a_graph_with_a_fixed_batch_is_run_in_such_batches() -> None:
    fixed = parse("graph g(%x: float32[4,3])\n %y = relu(%x)\n return %y")
    free = parse("graph g(%x: float32[N,3])\n %y = relu(%x)\n return %y")
    assert compare(free, fixed, samples=8).identical
    for found in (compare(free, fixed, samples=7), compare(fixed, free, samples=7)):
        assert found.samples == 7 and found.identical and [row.name for row in found.layers] == ["y"]
    other = parse("graph g(%x: float32[3,3])\n %y = relu(%x)\n return %y")
    assert compare(other, fixed, samples=7).layers == ()


def test_samples_stand_along_the_models_own_batch_axis(tmp_path: Path) -> None:
    graph = parse("graph g(%x: float32[3,N,2])\n %y = relu(%x)\n return %y")
    for target, write in (("net.tflite", to_tflite), ("net.onnx", to_onnx)):
        (tmp_path / target).write_bytes(write(graph))
        found = compare(graph, tmp_path / target, samples=5)
        assert found.outputs[0].shape == (3, 2) and found.outputs[0].sqnr_db > 120 and found.samples == 5
        assert compare(tmp_path / target, graph, np.ones((4, 3, 2), np.float32)).identical


def test_a_file_of_another_maker_may_take_scalars_and_open_dimensions(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    kind = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("x", kind, ["batch", "steps"]),
        helper.make_tensor_value_info("state", kind, [2, "batch", 1]),
        helper.make_tensor_value_info("rate", kind, []),
    ]
    nodes = [helper.make_node("Mul", ["x", "rate"], ["y"]), helper.make_node("Add", ["state", "rate"], ["next"])]
    outputs = [
        helper.make_tensor_value_info("y", kind, ["batch", "steps"]),
        helper.make_tensor_value_info("next", kind, [2, "batch", 1]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path / "foreign.onnx"
    save(model, path)
    found = compare(path, path, samples=3, input_shapes=["x=1,7"])
    assert found.identical and [row.shape for row in found.outputs] == [(7,), (2, 1)]
    data = {"x": np.ones((4, 7), np.float32), "state": np.ones((4, 2, 1), np.float32), "rate": np.arange(4, dtype=np.float32)}
    assert compare(path, path, data, input_shapes=["x=1,7"]).samples == 4
    with pytest.raises(InputError, match="has 2 dimensions, not 3"):
        compare(path, path, input_shapes=["x=1,7,1"])


def test_the_folder_of_the_configuration_is_where_models_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net_above.py").write_text("from torch import nn\n\n\ndef build():\n    return nn.Linear(3, 2)\n")
    (tmp_path / "edgekit.toml").write_text("")
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path / "app")
    assert main(["compare", "net_above:build", "net_above:build", "--input-shape", "1,3", "--samples", "2"]) == 0
    assert main(["inspect", "net_above:build", "--input-shape", "1,3"]) == 0


def test_what_does_not_correspond_is_refused(files: Path) -> None:
    one = parse("graph g(%x: float32[N,3])\n %y = relu(%x)\n return %y")
    two = parse("graph g(%x: float32[N,3], %z: float32[N,3])\n %y = add(%x, %z)\n return %y")
    other = parse("graph g(%x: float32[N,4])\n %y = relu(%x)\n return %y")
    wide = parse("graph g(%x: float32[N,3])\n %y = concat(%x, %x, axis=1)\n return %y")
    for b, message in (
        (two, "has 1 inputs and"),
        (other, r"is \[3\]"),
        (wide, "has the shape"),
        (files / "net.onnx", "1 outputs and"),
    ):
        with pytest.raises(InputError, match=message):
            compare(one, b)


def test_a_comparison_is_plain_json_with_bounded_numbers() -> None:
    broken = parse("graph g(%x: float32[N,3])\n @c: float32[] = nan\n %y = add(%x, @c)\n return %y")
    sound = parse("graph g(%x: float32[N,3])\n @c: float32[] = 1\n %y = add(%x, @c)\n return %y")
    document = json.loads(json.dumps(compare(sound, broken).as_dict(), allow_nan=False))
    assert document["schema"] == "edgekit.compare/1"
    assert document["outputs"][0]["sqnr_db"] == document["layers"][0]["sqnr_db"] == -200.0
    assert compare(sound, sound).as_dict()["outputs"][0]["sqnr_db"] == 200.0


def test_the_command_prints_outputs_and_layers(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(files / "net.ekg"), str(files / "net.ekg"), "--samples", "3"]) == 0
    out = capsys.readouterr().out
    assert "the outputs are identical" in out and "depthwise" in out and "same top-1" in out and "\x1b" not in out
    arguments = [
        "compare",
        str(files / "net.ekg"),
        str(files / "net.tflite"),
        "--samples",
        "3",
        "--kernels",
        "reference",
        "--json",
    ]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["samples"] == 3 and document["outputs"][0]["sqnr_db"] > 90
    assert main(["compare", "absent.ekg", "absent.onnx"]) == 2


def test_kernels_are_the_runtimes() -> None:
    assert set(KERNELS) == set(get_args(Kernels))
    assert isinstance(
        compare(parse("graph g(%x: float32[N,3])\n return %x"), parse("graph g(%x: float32[N,3])\n return %x")), Comparison
    )
