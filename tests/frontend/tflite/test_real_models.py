"""Files that others made: float outputs equal LiteRT's, nothing is left over, and streams run frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.export.tflite.exporter import export
from edgekit.formats.tflite.read import read
from edgekit.ir import N
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.litert import LiteRT

FLOAT = ("resnet8_cifar10_fp32", "mobilenet_v1_025_vww_fp32", "autoencoder_ad_fp32", "lstm_mnist_fp32", "sine_fp32")


@pytest.mark.parametrize("name", FLOAT)
def test_a_float_file_gives_litert_s_outputs_and_comes_back_no_larger(name: str, real_data: Path) -> None:
    path = real_data / "models" / f"{name}.tflite"
    graph = ek.load(path)
    assert graph.inputs[0].shape[0] == N
    x = torch.rand(graph.inputs[0].type.at(3), generator=torch.Generator().manual_seed(0)) * (255 if "cifar" in name else 1)
    wanted = graph.source(x)
    with torch.no_grad():
        got = graph.module().eval()(x)
    assert float((got - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())
    again = export(run_passes(graph, EXACT)[0])
    counts, before = read(again).op_counts(), read(path.read_bytes()).op_counts()
    assert len(again) <= path.stat().st_size and counts.get("TRANSPOSE", 0) == 0
    if "lstm" not in name:  # which writes its states at the beginning of every call: the file has no memory
        assert sum(counts.values()) <= sum(before.values())


def test_dynamic_range_weights_of_a_real_file_are_those_that_litert_multiplies(real_data: Path) -> None:
    graph = ek.load(real_data / "models" / "dscnn_kws_dynamic_range.tflite")
    assert sum(value.quant is not None for value in graph.state.values()) == 5
    x = torch.rand(2, 49, 10, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = graph.module().eval()(x)
    # LiteRT rounds the activations of these layers on the way; the graph does not.
    torch.testing.assert_close(got, graph.source(x), atol=0.01, rtol=0)


def test_a_stream_with_state_variables_runs_frame_by_frame_as_litert_runs_it(real_data: Path) -> None:
    path = real_data / "models" / "okay_nabu_stream_int8.tflite"
    graph = ek.load(path)
    assert [value.name for value in graph.inputs[1:]] == [f"stream{n}.states" for n in ("_1", "_2", "_3", "_4", "_5", "")]
    assert sum("from call to call" in note for note in graph.notes) == 6
    again = LiteRT(export(graph), "reference")
    runner = LiteRT(path, "reference")
    info = runner.inputs[0]
    quant = graph.inputs[0].quant
    assert quant is not None and len(again.inputs) == 7 and len(again.outputs) == 7
    states = [np.full(i.shape, v.quant.zero_point[0], np.int8) for i, v in zip(again.inputs[1:], graph.inputs[1:], strict=True)]  # type: ignore[union-attr]
    floats = [torch.zeros(value.type.at(1)) for value in graph.inputs[1:]]
    module = graph.module().eval()
    random = np.random.default_rng(0)
    for _ in range(12):
        frame = random.integers(-128, 128, info.shape).astype(np.int8)
        (wanted,) = runner.invoke([frame])
        probability, *states = again.invoke([frame, *states])
        assert int(probability.astype(int).item()) + 128 == int(wanted.item())
        real = torch.from_numpy((frame.astype(np.float32) - quant.zero_point[0]) * np.float32(quant.scale[0]))
        with torch.no_grad():
            found, *floats = module.run([real, *floats])
        assert abs(float(found) - int(wanted.item()) / 256) <= 2 / 256
