"""Files whose inputs are rounded as they run, written by ONNX Runtime's own tool: weights keep their integers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from edgekit.errors import Unsupported
from edgekit.export.onnx.convert import export
from edgekit.export.tflite.exporter import export as export_tflite
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.ir import Graph, ops, simulate
from edgekit.metrics import sqnr_db
from edgekit.runtime.artifact import Artifact

torch.set_num_threads(1)


class Layers(nn.Module):
    """A convolution, and three layers of which two read the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.first, self.second, self.last = nn.Linear(288, 24), nn.Linear(288, 24), nn.Linear(24, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x)).flatten(1)
        return self.last(torch.relu(self.first(x)) * torch.sigmoid(self.second(x)))


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("float") / "net.onnx"
    path.write_bytes(export(load(Layers().eval(), (torch.randn(1, 3, 8, 8),))))
    return path


def rounded(floats: Path, folder: Path, **settings: Any) -> tuple[Path, Graph]:
    path = folder / "net.onnx"
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(floats, path, **settings)
    finally:
        logging.disable(logging.NOTSET)
    assert {"MatMulInteger", "ConvInteger"} <= {node.op_type for node in onnx.load(path).graph.node}
    return path, load(path)


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_keep_their_integers_beside_float_activations(floats: Path, per_channel: bool, tmp_path: Path) -> None:
    path, graph = rounded(floats, tmp_path, weight_type=QuantType.QInt8, per_channel=per_channel)
    layers = [node for node in graph.nodes if isinstance(node.op, ops.Conv2d | ops.Linear)]
    assert [node.op.name for node in layers].count("linear") == 3 and len(layers) == 4
    for node in layers:
        quant = node.input(1).quant
        assert quant is not None and quant.dtype == "int8"
        assert quant.axis == (0 if per_channel and isinstance(node.op, ops.Linear) else None)
    assert all(value.quant is None for value in graph.values() if not value.is_constant)
    assert any("4 layers" in note for note in graph.notes)
    x = torch.randn(8, 3, 8, 8)
    with torch.no_grad():
        ours = graph.module().eval()(x).numpy()
    theirs = Artifact(path.read_bytes()).run_flat((x.numpy(),))[0]
    assert sqnr_db(theirs, ours) > 30
    kinds = {
        tensor.type.name
        for tensor in read(export_tflite(graph)).main.tensors
        if tensor.data is not None and len(tensor.shape) > 1
    }
    assert "INT8" in kinds
    np.testing.assert_allclose(simulate(graph, x).numpy(), ours, atol=1e-5)


def test_weights_around_another_zero_are_floats(floats: Path, tmp_path: Path) -> None:
    path, graph = rounded(floats, tmp_path, weight_type=QuantType.QUInt8)
    quants = [value.quant for value in graph.state.values() if value.type.rank > 1]
    assert None in quants and all(quant is None or not any(quant.zero_point) for quant in quants)
    x = torch.randn(8, 3, 8, 8)
    with torch.no_grad():
        ours = graph.module().eval()(x).numpy()
    assert sqnr_db(Artifact(path.read_bytes()).run_flat((x.numpy(),))[0], ours) > 30


def test_a_product_of_integers_alone_is_exact_or_refused(tmp_path: Path) -> None:
    for width in (30, 1000):
        types = [
            onnx.helper.make_tensor_value_info(name, kind, shape)
            for name, kind, shape in (
                ("a", onnx.TensorProto.UINT8, [4, width]),
                ("b", onnx.TensorProto.UINT8, [width, 3]),
            )
        ]
        out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, [4, 3])
        zeros = [onnx.numpy_helper.from_array(np.array(z, np.uint8), name) for z, name in ((12, "a_zero"), (200, "b_zero"))]
        node = onnx.helper.make_node("MatMulInteger", ["a", "b", "a_zero", "b_zero"], ["y"])
        model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", types, [out], zeros))
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        if width > 256:
            with pytest.raises(Unsupported, match="which float32 rounds"):
                load(path)
            continue
        a, b = torch.randint(0, 256, (4, width), dtype=torch.uint8), torch.randint(0, 256, (width, 3), dtype=torch.uint8)
        (ours,) = load(path).module().eval().run([a, b])
        assert torch.equal(ours, (a.int() - 12) @ (b.int() - 200))
