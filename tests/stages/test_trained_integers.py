"""A graph that was trained in integers, built for targets: its integers stay, and what a target can't hold is refused."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.ir import Graph, simulate
from edgekit.runtime.artifact import Artifact
from tests.end_to_end.projects import Project
from tests.train.networks import blobs, digits

torch.set_num_threads(1)


@cache
def trained(weights: str = "int8", runtime: str = "litert") -> Graph:
    return ek.QAT(weights=weights, edges=False, epochs=0, runtime=runtime).apply(digits(), ek.Data(train=blobs()))


def built(graph: Graph, target: str, folder: Path, **options: object) -> ek.Graph:
    return ek.build(graph, target, output=folder, name="net", calibration=blobs()[0][:16], **options)


@pytest.mark.parametrize("target", ["tflite-fp32", "tflite-dynamic", "tflite-fp16", "onnx-fp32"])
def test_a_float_target_is_refused_with_the_way_out(target: str, tmp_path: Path) -> None:
    with pytest.raises(ek.Unsupported, match="trained for int8 activations") as caught:
        built(trained(), target, tmp_path)
    assert "'qat'" in str(caught.value.where) and "tflite-int8" in str(caught.value.hint)


def test_micro_controllers_take_what_was_trained_for_them_and_refuse_other_linear_layers(tmp_path: Path) -> None:
    with pytest.raises(ek.Unsupported, match="one scale for all channels") as caught:
        built(trained(), "tflm-int8", tmp_path)
    assert "tflite-micro" in str(caught.value.hint)
    graph, (x, _) = trained("int4", "tflite-micro"), blobs()
    file = built(graph, "tflm-int8", tmp_path)
    got = Artifact(file.artifact.read_bytes(), kernels="reference").run(x)
    np.testing.assert_array_equal(got, simulate(graph, torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("io", ["float32", "uint8", "int8"])
def test_inputs_and_outputs_have_the_type_that_was_asked_for(io: str, tmp_path: Path) -> None:
    x, _ = blobs()
    graph = trained()
    file = built(graph, "tflite-int8", tmp_path, io=io)
    got = Artifact(file.artifact.read_bytes(), kernels="reference").run(x)
    np.testing.assert_allclose(got, simulate(graph, torch.from_numpy(x)).numpy(), atol=float(graph.outputs[0].quant.scale[0]))


NET = """
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x):
        return self.head(F.max_pool2d(F.relu(self.norm(self.conv(x))), 2).flatten(1))
"""


@pytest.mark.parametrize(
    "declared",
    ["scale = 255", "scale = 255\nmean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.3, 0.4]"],
    ids=["folded into the input", "an op of its own"],
)
def test_a_cameras_bytes_feed_a_network_that_was_trained_on_what_they_become(tmp_path: Path, declared: str) -> None:
    project = Project(tmp_path)
    model = project.model(NET, "torch.randn(1, 3, 8, 8)")
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (64, 3, 8, 8), dtype=np.uint8), random.integers(0, 4, 64)
    project.npz("data.npz", x=x, y=y)
    project.write(
        f'model = "{model}"\nname = "net"\ntargets = ["tflite-int8"]\ntrain = "data.npz"\ncalibration = "data.npz"\n'
        f'evaluate = "data.npz"\nio = "uint8"\n[input.x]\n{declared}\n[[recipe]]\nstep = "qat"\nepochs = 1\n'
        "training = { batch_size = 16, lr = 0.001 }\n",
        "edgekit.toml",
    )
    result = project.build()
    assert result.code == 0, result.err
    report = project.report("tflite-int8")
    (source, simulated) = report["verification"]
    assert simulated["equal_integers"] == 1.0
    assert source["sqnr_db"] > 25


def test_a_target_of_fewer_bits_than_were_trained_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "int4.toml"
    text = (Path(__file__).parents[2] / "targets" / "tflite-int8.toml").read_text()
    path.write_text(re.sub(r'(?m)^(weights\s*= \{ dtype = )"int8"', r'\1"int4"', text))
    assert 'dtype = "int4"' in path.read_text()
    with pytest.raises(ek.Unsupported, match="trained for int8 weights"):
        built(trained(), str(path), tmp_path)


@pytest.mark.parametrize("weights", ["int4", "int2"])
def test_a_target_of_4_bits_stores_what_was_trained_in_4(weights: str, tmp_path: Path) -> None:
    x, _ = blobs()
    graph = trained(weights)
    small, large = (built(graph, name, tmp_path).artifact.read_bytes() for name in ("tflite-w4a8", "tflite-int8"))
    assert len(small) < len(large) - 150  # 438 weights
    np.testing.assert_array_equal(Artifact(small, kernels="reference").run(x), Artifact(large, kernels="reference").run(x))


def test_an_integer_input_passes_a_module_without_norms(tmp_path: Path) -> None:
    """A network whose float parts stay float: the islands survive training and file."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 4)).eval()
    graph = ek.load(module, (torch.zeros(1, 8),))
    x = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    y = np.random.default_rng(1).integers(0, 4, 64)
    result = ek.QAT(epochs=2, training=ek.Training(batch_size=16, lr=0.001)).apply(graph, ek.Data(train=(x, y)))
    assert "integer form" in next(iter(result.history[-1].declined.values()))
    file = ek.build(result, "tflite-int8", output=tmp_path, name="net", calibration=x)
    with torch.no_grad():
        wanted = result.module().eval()(torch.from_numpy(x)).numpy()
    got = Artifact(file.artifact.read_bytes()).run(x)
    assert np.abs(got - wanted).max() <= 3 * result.outputs[0].quant.scale[0]


def test_4_bit_weights_beside_a_bias_that_their_kernels_have_no_room_for_are_stored_in_8_and_named(tmp_path: Path) -> None:
    graph, (x, _) = trained("int4").copy(), blobs()
    node = next(n for n in graph.nodes if n.op.name == "linear")
    bias, weight = node.input(2), node.input(1)
    with torch.no_grad():
        bias.data = bias.tensor.detach().clone()
        bias.data[0] = -1.5e8 * bias.quant.scale[0]
    file = built(graph, "tflite-w4a8", tmp_path)
    assert any(weight.name in note and "8-bit" in note for note in file.report.source.notes)
    wanted = simulate(graph, torch.from_numpy(x)).numpy()
    steps = np.abs(Artifact(file.artifact).run(x) - wanted) / graph.outputs[0].quant.scale[0]
    assert steps.max() < 3
