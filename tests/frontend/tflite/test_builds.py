"""A .tflite source goes through what a PyTorch one does: recipes, preprocessing, both exporters, the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.cli import main
from edgekit.ir.channel_axis import channel_axis
from edgekit.train.augment import augmentation, flip_crop
from tests.frontend.tflite.files import File, load_bytes


def network(folder: Path, *, signal: bool = False) -> Path:
    """A small classifier of images (8, 8, 3), or of signals (16, 3)."""
    f = File(seed=3)
    if signal:
        x = f.input(1, 16, 3)
        x = f.op("RESHAPE", [x, f.ints(1, 1, 16, 3)], (1, 1, 16, 3))
    else:
        x = f.input(1, 8, 8, 3)
    height, width = (1, 16) if signal else (8, 8)
    options = {"stride_h": 1, "stride_w": 1, "fused_activation_function": 1, "table": "Conv2DOptions"}
    for place, (channels, depth) in enumerate(((8, 3), (8, 8))):
        w = f.constant(f.random.standard_normal((channels, min(height, 3), 3, depth)) * 0.3, name=f"model/conv_{place}/Conv2D")
        x = f.op("CONV_2D", [x, w, f.weight(channels)], (1, height, width, channels), **options)
    mean = f.op("MEAN", [x, f.ints(1, 2)], (1, 8), table="ReducerOptions")
    w = f.constant(f.random.standard_normal((4, 8)), name="model/head/MatMul")
    y = f.op("FULLY_CONNECTED", [mean, w, f.weight(4)], (1, 4), table="FullyConnectedOptions")
    path = folder / "net.tflite"
    path.write_bytes(f.content(f.op("SOFTMAX", [y], (1, 4), table="SoftmaxOptions", beta=1.0)))
    return path


def images(folder: Path, count: int = 64) -> Path:
    random = np.random.default_rng(0)
    x = random.standard_normal((count, 8, 8, 3)).astype("f4")
    y = random.integers(0, 4, count)
    path = folder / "data.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:16], y_test=y[:16])
    return path


def test_edgekit_build_prunes_trains_and_writes_a_tflite_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = network(tmp_path), images(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edgekit.toml").write_text(
        f'model = "{model}"\ntargets = ["tflite-int8", "onnx-fp32"]\ncalibration = "{data}"\ntrain = "{data}"\n'
        f'output = "{tmp_path / "out"}"\n'
        '[[recipe]]\nstep = "prune"\nratio = 0.5\n[[recipe]]\nstep = "fine_tune"\nepochs = 1\naugment = "flip_crop"\n'
    )
    assert main(["build", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["reports"]) == 2
    graph = ek.load(tmp_path / "out" / "tflite-int8" / "net.tflite")
    convolutions = [node for node in graph.nodes if node.op.name == "conv2d"]
    assert [node.output.shape[1] for node in convolutions] == [4, 4]
    report = json.loads((tmp_path / "out" / "tflite-int8" / "report.json").read_text())
    assert report["source"]["name"] == "net" and any("conv_0" in layer["where"] for layer in report["layers"])


def test_training_moves_the_weights_of_a_graph_from_a_file(tmp_path: Path) -> None:
    graph = ek.load(network(tmp_path))
    before = {name: value.tensor.detach().clone() for name, value in graph.state.items()}
    with np.load(images(tmp_path)) as arrays:
        data = ek.Data(train=(arrays["x_train"], arrays["y_train"]))
    tuned = ek.FineTune(epochs=1, lr=0.05).apply(graph, data=data)
    moved = [name for name, value in tuned.state.items() if not torch.equal(value.tensor.detach(), before[name])]
    assert set(moved) == set(before)


@pytest.mark.parametrize("target", ["tflite-int8", "tflite-fp32"])
@pytest.mark.parametrize("mean", [0.5, (0.4, 0.5, 0.6)], ids=["one number", "a number per channel"])
@pytest.mark.parametrize("layout", [None, "NHWC"])
def test_preprocessing_of_channels_last_bytes_is_declared_as_for_pytorch(
    target: str, mean: float | tuple[float, ...], layout: str | None, tmp_path: Path
) -> None:
    from edgekit.config import InputSettings

    graph = ek.load(network(tmp_path))
    raw = np.random.default_rng(1).integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    settings = {"x0": InputSettings(scale=255, mean=mean, std=0.25, layout=layout)}
    built = ek.build(graph, target, calibration=raw, inputs=settings, output=tmp_path / "out")
    got = ek.run(built.artifact, raw)
    normalized = (raw.astype("f4") / 255 - np.float32(mean)) / np.float32(0.25)
    with torch.no_grad():
        wanted = graph.module().eval()(torch.from_numpy(normalized.astype("f4"))).numpy()
    np.testing.assert_allclose(got, wanted, atol=0.08 if target == "tflite-int8" else 1e-4)
    from edgekit.formats.tflite.read import read

    assert "TRANSPOSE" not in read(built.artifact.read_bytes()).op_counts()


def test_channels_of_a_channels_last_input_are_found(tmp_path: Path) -> None:
    assert channel_axis(ek.load(network(tmp_path)).inputs[0]) == 3
    assert channel_axis(ek.load(network(tmp_path, signal=True)).inputs[0]) == 2
    f = File()
    x = f.input(1, 3, 8, 8)
    content = f.content(f.op("RELU", [x], (1, 3, 8, 8)))
    assert channel_axis(load_bytes(content, tmp_path).inputs[0]) == 1


def test_augmentation_flips_and_crops_channels_last_images_in_height_and_width(tmp_path: Path) -> None:
    graph = ek.load(network(tmp_path))
    augment = augmentation("flip_crop", graph)
    assert augment is not None
    x = torch.randn(4, 8, 8, 3)
    (got,) = augment([x], torch.Generator().manual_seed(5))
    wanted = flip_crop(x.permute(0, 3, 1, 2), torch.Generator().manual_seed(5)).permute(0, 2, 3, 1)
    assert torch.equal(got, wanted)


def test_weights_of_another_training_go_into_a_graph_from_a_file(tmp_path: Path) -> None:
    path = network(tmp_path)
    graph = ek.load(path)
    changed = {name: torch.randn_like(value.tensor) for name, value in graph.state.items()}
    torch.save(changed, tmp_path / "weights.pt")
    loaded = ek.load(path, weights=tmp_path / "weights.pt")
    assert all(torch.equal(value.tensor.detach(), changed[name]) for name, value in loaded.state.items())
    assert loaded.source is None  # the file has other weights
