"""`edgekit build model.onnx`: targets, recipes and checks work as on any other source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.ir.types import N
from tests.end_to_end.projects import Project
from tests.frontend.onnx.models import array, model, node, rand, save
from tests.frontend.onnx.test_round_trips import exported_by_torch
from tests.train.networks import blobs


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.head(torch.relu(self.inner(x)).flatten(1))


RECIPE = """
[[recipe]]
step = "fine_tune"
epochs = 3
batch_size = 16
lr = 0.01

[[recipe]]
step = "prune"
macs = 0.5
rounds = 1
epochs = 1
training = { batch_size = 16, lr = 0.01 }
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "net.onnx").write_bytes(exported_by_torch(Net().eval(), (rand(2, 1, 8, 8),)))
    for name, seed in (("train", 0), ("test", 1)):
        x, y = blobs(96, seed=seed)
        made.npz(f"{name}.npz", x=x, y=y)
    return made


def test_a_recipe_trains_and_prunes_a_graph_from_an_onnx_file(project: Project) -> None:
    project.write(
        'model = "net.onnx"\nname = "net"\ntargets = ["tflite-int8", "onnx-fp32"]\ntrain = "train.npz"\n'
        f'calibration = "train.npz"\nevaluate = "test.npz"\n{RECIPE}',
        "edgekit.toml",
    )
    result = project.build()
    assert result.code == 0, result.err
    for target in ("tflite-int8", "onnx-fp32"):
        report = project.report(target)
        tune, prune = report["history"]
        assert tune["metrics"]["top1"][1] > tune["metrics"]["top1"][0] + 0.2
        assert prune["macs"][1] <= 0.5 * prune["macs"][0] and "conv.weight" not in prune["declined"]
        assert project.artifact(target).is_file()


def test_what_is_built_is_compared_with_the_file_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = Net().eval()
    path = tmp_path / "net.onnx"
    path.write_bytes(exported_by_torch(source, (rand(2, 1, 8, 8),)))
    graph = ek.load(path)
    x = rand(5, 1, 8, 8)
    torch.testing.assert_close(graph.source(x), source(x), rtol=0, atol=1e-5)
    built = ek.build(graph, target="onnx-fp32", calibration=x.numpy(), output=tmp_path / "out")
    (row,) = built.report.as_dict()["verification"]
    assert row["samples"] == 5
    np.testing.assert_allclose(ek.run(built.artifact, x.numpy()), source(x).detach().numpy(), atol=1e-4)


def test_a_file_of_one_sample_takes_any_number(tmp_path: Path) -> None:
    path = save(
        model(
            [node("Reshape", ["x", "shape"], ["flat"]), node("MatMul", ["flat", "w"], ["y"])],
            {"x": [1, 3, 4]},
            ["y"],
            {"shape": np.asarray([0, -1], np.int64), "w": array(12, 2)},
        ),
        tmp_path,
    )
    graph = ek.load(path)
    assert graph.inputs[0].shape == (N, 3, 4) and graph.notes == []
    x = rand(3, 3, 4)
    torch.testing.assert_close(graph.module()(x), graph.source(x), rtol=0, atol=1e-5)


def test_a_file_that_means_one_sample_keeps_it_and_says_why(tmp_path: Path) -> None:
    fixed = model([node("Reshape", ["x", "shape"], ["y"])], {"x": [1, 3, 4]}, ["y"], {"shape": np.asarray([1, 12], np.int64)})
    graph = ek.load(save(fixed, tmp_path))
    assert graph.inputs[0].shape == (1, 3, 4)
    assert graph.notes[0].startswith("the batch stays that of the file: 'Reshape' makes [1,12]")
    mixed = model([node("ReduceMax", ["x"], ["m"], axes=[0], keepdims=1), node("Sub", ["x", "m"], ["y"])], {"x": [1, 4]}, ["y"])
    graph = ek.load(save(mixed, tmp_path))
    assert graph.inputs[0].shape == (1, 4) and "runs over the batch" in graph.notes[0]


def test_an_input_that_is_a_single_number_goes_through_a_build(tmp_path: Path) -> None:
    proto = model([node("Mul", ["x", "gain"], ["y"])], {"x": ["n", 4], "gain": []}, ["y"])
    for target in ("onnx-fp32", "tflite-fp32"):
        built = ek.build(save(proto, tmp_path), target=target, output=tmp_path / "out")
        assert all(row["passed"] for row in built.report.as_dict()["verification"])


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx-fp32", "tflite-fp32"])
def test_silero_vad_becomes_files_that_give_what_its_own_gives(real_data: Path, tmp_path: Path, target: str) -> None:
    path = real_data / "models" / "silero_vad_16k.onnx"
    if not path.exists():
        pytest.skip("EDGEKIT_DATA has no silero_vad_16k.onnx")
    graph = ek.load(path, input_shapes=["input=1,576", "state=2,1,128"])
    (row,) = ek.build(graph, target=target, output=tmp_path).report.as_dict()["verification"]
    assert row["against"] == "source" and row["sqnr_db"] > 100
