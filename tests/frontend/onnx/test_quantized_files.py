"""Files with QuantizeLinear and DequantizeLinear: their scales become those of the values, and are written again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import nn

import edgekit as ek
from edgekit.ir import Graph, ops
from edgekit.runtime.onnx_runtime import OnnxRuntime
from tests.frontend.onnx.models import array, assert_as_in_runtime, load, model, node, rand, run, save
from tests.frontend.onnx.test_round_trips import exported_by_torch

torch.set_num_threads(1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first(x))
        y = F.max_pool2d(y + F.relu6(self.second(y)), 2)
        return self.head(y.mean((2, 3))).softmax(1)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


def scales(graph: Graph) -> dict[str, Any]:
    return {value.name: value.quant for value in graph.values() if value.quant is not None}


def test_edgekits_own_integers_come_back(network: nn.Module, tmp_path: Path) -> None:
    x = rand(64, 1, 8, 8)
    first = ek.build(
        ek.load(network, (x[:2],)), target="onnx-int8", calibration=x.numpy(), output=tmp_path / "first", name="net"
    )
    graph = ek.load(first.artifact)
    graph.verify()
    wanted = torch.from_numpy(np.asarray(ek.run(first.artifact, x.numpy())))
    with torch.no_grad():
        torch.testing.assert_close(graph.module().eval()(x), wanted, rtol=0, atol=1 / 256)
    assert all(v.quant is not None for v in graph.values() if v.is_trainable)
    assert {"first.weight", "second.weight", "head.weight"} <= {v.name for v in graph.values() if v.is_trainable}
    assert [n.op.name for n in graph.nodes if n.output.quant is None] == []
    for target in ("onnx-int8", "tflite-int8"):  # without calibration data: the integers are there
        again = ek.build(first.artifact, target=target, output=tmp_path / target)
        got = torch.from_numpy(np.asarray(ek.run(again.artifact, x.numpy())))
        torch.testing.assert_close(got, wanted, rtol=0, atol=1.01 / 256)


def quantized_by_onnx_runtime(network: nn.Module, folder: Path, form: str, kind: str, **options: Any) -> Path:
    """A file of ONNX Runtime's own quantiser."""
    if importlib.util.find_spec("onnxruntime.quantization") is None:
        pytest.skip("this onnxruntime has no quantiser")
    from onnxruntime import quantization as ort

    source, target = folder / "float.onnx", folder / "int8.onnx"
    source.write_bytes(exported_by_torch(network, (rand(2, 1, 8, 8),)))
    name = onnx.load(source).graph.input[0].name

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter([{name: rand(1, 1, 8, 8, seed=seed).numpy()} for seed in range(32)])

        def get_next(self) -> Any:
            return next(self.rows, None)

    ort.quantize_static(
        source, target, Reader(), quant_format=getattr(ort.QuantFormat, form), reduce_range=False,
        activation_type=getattr(ort.QuantType, kind), weight_type=ort.QuantType.QInt8, **options,
    )  # fmt: skip
    return target


@pytest.mark.parametrize("kind", ["QUInt8", "QInt8"])
def test_a_file_of_onnx_runtimes_own_quantiser_loads(network: nn.Module, tmp_path: Path, kind: str) -> None:
    target = quantized_by_onnx_runtime(network, tmp_path, "QDQ", kind, per_channel=True)
    graph = ek.load(target)
    graph.verify()
    x = rand(16, 1, 8, 8, seed=99)
    wanted = torch.from_numpy(OnnxRuntime(target).invoke([x.numpy()])[0])
    with torch.no_grad():
        assert (graph.module().eval()(x) - wanted).abs().max() < 0.02
    held = [n for n in graph.nodes if isinstance(n.op, ops.Conv2d | ops.Linear)]
    assert len(held) == 3 and all(n.output.quant is not None and n.input(1).quant is not None for n in held)
    assert {q.dtype for q in scales(graph).values()} <= {"int8", "int32"}


class Branches(nn.Module):
    """What ONNX Runtime has integer operators for: a sum, a product, a join of two scales, pools and activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.join, self.gate, self.head = nn.Conv2d(16, 12, 1), nn.Conv2d(12, 12, 1), nn.Linear(48, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.first(x))
        z = F.leaky_relu(self.deep(y), 0.1) + y
        z = F.avg_pool2d(F.relu(self.join(torch.cat([z, F.max_pool2d(y, 3, 1, 1)], 1))), 2)
        z = z * torch.sigmoid(self.gate(z.mean((2, 3), keepdim=True)))
        return self.head(F.max_pool2d(z, 2).flatten(1)).softmax(1)


@pytest.mark.parametrize(("kind", "per_channel"), [("QUInt8", True), ("QInt8", False)])
def test_operators_on_integers_keep_their_scales(tmp_path: Path, kind: str, per_channel: bool) -> None:
    torch.manual_seed(1)
    source = quantized_by_onnx_runtime(Branches().eval(), tmp_path, "QOperator", kind, per_channel=per_channel)
    kinds = {n.op_type for n in onnx.load(source).graph.node}
    assert {"QLinearConv", "QLinearAdd", "QLinearConcat", "QLinearSigmoid", "QLinearAveragePool", "MaxPool", "QGemm"} <= kinds
    x = rand(16, 1, 8, 8, seed=99).numpy()
    wanted = OnnxRuntime(source).invoke([x])[0]
    for target in ("tflite-int8", "onnx-int8"):
        built = ek.build(source, target, output=tmp_path / target)
        assert np.abs(np.asarray(ek.run(built.artifact, x)) - wanted).max() <= 2.01 / 256
    graph = ek.load(source)
    assert all(n.output.quant is not None for n in graph.nodes if not isinstance(n.op, ops.Identity))
    assert "onnx::Conv" not in str(graph.state) and len(graph.state) == 10


@pytest.mark.parametrize("zero", [128, 100], ids=["symmetric", "around another number"])
def test_weights_stored_as_bytes_are_floats_beside_floats(zero: int, tmp_path: Path) -> None:
    integers = np.random.default_rng(0).integers(0, 256, (6, 3, 3, 3)).astype(np.uint8)
    proto = model(
        [node("DequantizeLinear", ["w", "s", "z"], ["real"]), node("Conv", ["x", "real"], ["y"])],
        {"x": ["n", 3, 8, 8]},
        ["y"],
        {"w": integers, "s": np.float32(0.01), "z": np.uint8(zero)},
    )
    x = rand(3, 3, 8, 8)
    assert_as_in_runtime(proto, x)
    source = save(proto, tmp_path)
    wanted = OnnxRuntime(source).invoke([x.numpy()])[0]
    for target in ("tflite-fp32", "onnx-fp32"):
        built = ek.build(source, target, output=tmp_path / target)
        np.testing.assert_allclose(np.asarray(ek.run(built.artifact, x.numpy())), wanted, rtol=0, atol=1e-5)


def test_weights_around_another_number_beside_integers_are_rounded_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scales = {
        "sx": np.float32(0.02),
        "sw": np.float32(0.004),
        "sb": np.float32(0.02) * np.float32(0.004),
        "sy": np.float32(0.03),
    }
    proto = model(
        [
            node("QuantizeLinear", ["x", "sx", "z"], ["xq"]),
            node("DequantizeLinear", ["xq", "sx", "z"], ["xd"]),
            node("DequantizeLinear", ["w", "sw", "zw"], ["wd"]),
            node("DequantizeLinear", ["b", "sb"], ["bd"]),
            node("Conv", ["xd", "wd", "bd"], ["c"]),
            node("QuantizeLinear", ["c", "sy", "z"], ["yq"]),
            node("DequantizeLinear", ["yq", "sy", "z"], ["y"]),
        ],
        {"x": ["n", 3, 8, 8]},
        ["y"],
        {
            **scales,
            "w": rng.integers(0, 256, (6, 3, 3, 3)).astype(np.uint8),
            "zw": np.uint8(100),
            "z": np.uint8(128),
            "b": rng.integers(-900, 900, 6).astype(np.int32),
        },
    )
    source, x = save(proto, tmp_path), rand(3, 3, 8, 8).numpy()
    wanted = OnnxRuntime(source).invoke([x])[0]
    for target in ("tflite-int8", "onnx-int8"):
        built = ek.build(source, target, output=tmp_path / target)
        assert np.abs(np.asarray(ek.run(built.artifact, x)) - wanted).max() <= 2.01 * scales["sy"]
    assert any("chosen anew" in note for note in ek.load(source).notes)


def test_integers_that_scales_at_run_time_belong_to_are_refused_by_name() -> None:
    names = ["x", "s", "z", "w", "s", "z", "s", "z"]
    proto = model(
        [node("Identity", ["scale"], ["s"]), node("QLinearMatMul", names, ["y"])],
        {"x": ["n", 4], "scale": [1]},
        ["y"],
        {"w": np.ones((4, 3), np.uint8), "z": np.uint8(3)},
        types={"x": TensorProto.UINT8, "y": TensorProto.UINT8},
    )
    with pytest.raises(ek.Unsupported, match="QLinearMatMul"):
        load(proto)


def test_a_pair_at_an_input_that_others_read_in_float_is_an_identity() -> None:
    proto = model(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("Add", ["x", "d"], ["y"]),
        ],
        {"x": ["n", 4]},
        ["y"],
        {"s": np.float32(0.1), "z": np.uint8(128)},
    )
    graph = assert_as_in_runtime(proto, rand(3, 4))
    assert graph.inputs[0].quant is None
    assert [n.op.name for n in graph.nodes] == ["identity", "identity", "add"]


def test_one_of_a_pair_alone_is_arithmetic() -> None:
    for kind, low in ((np.int8, -128), (np.uint8, 0)):
        proto = model(
            [node("QuantizeLinear", ["x", "s", "z"], ["y"])],
            {"x": [3, 50]},
            ["y"],
            {"s": np.float32(0.02), "z": np.asarray(low + 100, kind)},
            types={"y": TensorProto.INT8 if kind is np.int8 else TensorProto.UINT8},
        )
        assert_as_in_runtime(proto, rand(3, 50))
    proto = model(
        [node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=1)],
        {"x": [3, 2]},
        ["y"],
        {"s": np.asarray([0.5, 0.25], np.float32), "z": np.asarray([1, -3], np.int8)},
        types={"x": TensorProto.INT8},
    )
    assert_as_in_runtime(proto, torch.randint(-128, 128, (3, 2), dtype=torch.int8))


def test_weights_of_four_bits_are_read() -> None:
    tensor = onnx.helper.make_tensor("w", TensorProto.INT4, [4, 2], [-8, 7, 1, 0, 3, -2, 5, -5])
    proto = model(
        [node("DequantizeLinear", ["w", "s"], ["d"], axis=1), node("MatMul", ["x", "d"], ["y"])],
        {"x": ["n", 4]},
        ["y"],
        {"s": np.asarray([0.5, 0.25], np.float32)},
        opset=21,
    )
    proto.ir_version = 10
    proto.graph.initializer.append(tensor)
    graph = load(proto)
    x = rand(3, 4)
    real = torch.tensor([[-8.0, 7], [1, 0], [3, -2], [5, -5]]) * torch.tensor([0.5, 0.25])
    torch.testing.assert_close(run(graph, x)[0], x @ real)


def test_weights_whose_type_the_graph_lacks_are_refused_elsewhere() -> None:
    proto = model([node("Add", ["x", "w"], ["y"])], {"x": [2]}, ["y"], {"w": array(2).astype(np.uint16)})
    with pytest.raises(ek.Unsupported, match="'Add' computes with uint16"):
        load(proto)
