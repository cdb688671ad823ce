"""Quantised files: their parameters become those of the values, and written again they compute the same integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit import Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.ir import Graph, simulate
from edgekit.runtime.litert import LiteRT
from tests.frontend.tflite.files import File, assert_agrees, load_bytes, quantization


def convolution(f: File, x: int, quant: Any, *, per_channel: bool = True, act: int = 0, dtype: str = "i1") -> int:
    """A quantised 3x3 convolution of an image (1, 6, 6, 2) to 4 channels."""
    zero = 0 if dtype == "i1" else 131
    scales = np.linspace(0.01, 0.03, 4, dtype=np.float32) if per_channel else np.float32([0.02])
    low, high = (-127, 128) if dtype == "i1" else (0, 256)
    integers = f.random.integers(low, high, (4, 3, 3, 2)).astype(dtype)
    w = f.constant(integers, quantization(scales, zero))
    given = f.tensors[x].quantization
    assert given is not None
    b = f.constant(f.random.integers(-900, 900, 4).astype("i4"), quantization(scales * given.scale[0]))
    options = {"stride_h": 1, "stride_w": 1, "fused_activation_function": act}
    return f.op("CONV_2D", [x, w, b], (1, 6, 6, 4), type=dtype, quant=quant, table="Conv2DOptions", version=3, **options)


def small(f: File) -> bytes:
    x = f.input(1, 6, 6, 2, type="i1", quant=quantization(0.04, -3))
    y = convolution(f, x, quantization(0.09, -20), act=1)
    mean = f.op("MEAN", [y, f.ints(1, 2)], (1, 4), type="i1", quant=quantization(0.03, -120), table="ReducerOptions", version=2)
    w = f.constant(f.random.integers(-127, 128, (3, 4)).astype("i1"), quantization(0.02))
    b = f.constant(f.random.integers(-90, 90, 3).astype("i4"), quantization(0.02 * 0.03))
    y = f.op(
        "FULLY_CONNECTED",
        [mean, w, b],
        (1, 3),
        type="i1",
        quant=quantization(0.05, 4),
        table="FullyConnectedOptions",
        version=4,
    )
    quant = quantization(1 / 256, -128)
    return f.content(f.op("SOFTMAX", [y], (1, 3), type="i1", quant=quant, table="SoftmaxOptions", beta=1.0, version=2))


def equal_integers(content: bytes, graph: Graph) -> None:
    """LiteRT's reference kernels give the same for a file and for what is written from its graph."""
    first, second = LiteRT(content, "reference"), LiteRT(export(graph), "reference")
    random = np.random.default_rng(0)
    for _ in range(3):
        given = [random.integers(-128, 128, info.shape).astype(info.dtype) for info in first.inputs]
        for ours, theirs in zip(second.invoke(given), first.invoke(given), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_parameters_stand_at_the_values_and_data_is_real(tmp_path: Path) -> None:
    content = small(File())
    graph = assert_agrees(content, tmp_path, steps=1)
    (x,) = graph.inputs
    assert x.quant == ek.QuantParams("int8", (0.04,), (-3,))
    conv = next(node for node in graph.nodes if node.op.name == "conv2d")
    weight, bias = conv.input(1), conv.input(2)
    assert weight.quant is not None and weight.quant.axis == 0 and len(weight.quant.scale) == 4 and weight.is_trainable
    assert weight.tensor.is_floating_point() and bias.quant is not None and bias.quant.dtype == "int32"
    assert conv.op.attributes()["activation"] == "relu"  # integers saturate at it: no op of its own
    equal_integers(content, graph)


def test_the_simulation_of_the_graph_gives_the_files_own_integers(tmp_path: Path) -> None:
    content = small(File())
    graph = load_bytes(content, tmp_path)
    runner = LiteRT(content, "reference")
    given = np.random.default_rng(1).integers(-128, 128, (1, 6, 6, 2)).astype("i1")
    (wanted,) = runner.invoke([given])
    got = simulate(graph, torch.from_numpy((given.astype(np.float32) + 3) * np.float32(0.04)))
    np.testing.assert_array_equal(np.rint(got.numpy() * 256) - 128, wanted)


def test_an_int8_file_builds_without_calibration_and_keeps_its_parameters(tmp_path: Path) -> None:
    content = small(File())
    graph = load_bytes(content, tmp_path)
    built = ek.build(graph, "tflite-int8", output=tmp_path / "out")
    first, second = LiteRT(content, "reference"), LiteRT(built.artifact, "reference")
    given = np.random.default_rng(0).integers(-128, 128, (1, 6, 6, 2)).astype("i1")
    np.testing.assert_array_equal(second.invoke([given])[0], first.invoke([given])[0])
    with pytest.raises(Unsupported, match="int8 activations") as error:
        ek.build(graph, "tflite-fp32", output=tmp_path / "out")
    assert "float" in str(error.value)


def test_unsigned_files_become_signed_ones_of_the_same_function(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 6, 6, 2, type="u1", quant=quantization(0.04, 125))
    content = f.content(convolution(f, x, quantization(0.3, 120), per_channel=False, act=3, dtype="u1"))
    graph = assert_agrees(content, tmp_path, steps=1)
    assert graph.inputs[0].quant == ek.QuantParams("int8", (0.04,), (-3,))
    assert any("unsigned weights" in note for note in graph.notes)
    built = ek.build(graph, "tflite-int8", io="uint8", output=tmp_path / "out")
    first, second = LiteRT(content, "reference"), LiteRT(built.artifact, "reference")
    given = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 2)).astype("u1")
    (ours,), (theirs,) = second.invoke([given]), first.invoke([given])
    assert ours.dtype == np.uint8 and np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_float_ends_of_an_integer_file_are_borders(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 6, 6, 2)
    q = f.op("QUANTIZE", [x], (1, 6, 6, 2), type="i1", quant=quantization(0.04, -3), table="QuantizeOptions")
    y = convolution(f, q, quantization(0.2, 5))
    content = f.content(f.op("DEQUANTIZE", [y], (1, 6, 6, 4), table="DequantizeOptions", version=2))
    graph = load_bytes(content, tmp_path)
    assert graph.inputs[0].quant is None and graph.outputs[0].quant is None
    assert [node.op.name for node in graph.nodes].count("identity") == 2
    given = np.random.default_rng(0).standard_normal((1, 6, 6, 2)).astype("f4")
    first, second = LiteRT(content, "reference"), LiteRT(export(graph), "reference")
    np.testing.assert_allclose(second.invoke([given])[0], first.invoke([given])[0], atol=1e-5)


def test_dynamic_range_weights_keep_their_integers_beside_float_activations(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 8)
    integers = f.random.integers(-127, 128, (4, 8)).astype("i1")
    w = f.constant(integers, quantization(0.02))
    content = f.content(f.op("FULLY_CONNECTED", [x, w, -1], (1, 4), table="FullyConnectedOptions", version=9))
    graph = load_bytes(content, tmp_path)
    (weight,) = graph.state.values()
    assert weight.quant is not None and graph.outputs[0].quant is None
    np.testing.assert_allclose(weight.tensor.detach().numpy(), integers * np.float32(0.02), rtol=1e-6)
    given = np.random.default_rng(0).standard_normal((1, 8)).astype("f4")
    got = graph.module()(torch.from_numpy(given)).detach().numpy()
    np.testing.assert_allclose(got, given @ (integers.T * np.float32(0.02)), atol=1e-5)


def test_sixteen_bit_activations_come_back(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 8, type="i2", quant=quantization(0.001))
    w = f.constant(f.random.integers(-127, 128, (4, 8)).astype("i1"), quantization(0.02))
    b = f.constant(f.random.integers(-9000, 9000, 4).astype("i8"), quantization(0.02 * 0.001))
    options = {"type": "i2", "quant": quantization(0.002), "table": "FullyConnectedOptions", "version": 4}
    content = f.content(f.op("FULLY_CONNECTED", [x, w, b], (1, 4), **options))
    graph = assert_agrees(content, tmp_path, steps=1)
    assert graph.inputs[0].quant is not None and graph.inputs[0].quant.dtype == "int16"
    first, second = LiteRT(content, "reference"), LiteRT(export(graph), "reference")
    given = np.random.default_rng(0).integers(-30000, 30000, (1, 8)).astype("i2")
    np.testing.assert_array_equal(second.invoke([given])[0], first.invoke([given])[0])


def test_scales_that_are_no_numbers_are_damage(tmp_path: Path) -> None:
    f = File()
    x = f.input(1, 4, type="i1", quant=quantization(float("nan")))
    content = f.content(f.op("RELU", [x], (1, 4), type="i1", quant=quantization(0.1)))
    with pytest.raises(ek.InputError, match="scales must be positive"):
        load_bytes(content, tmp_path)


MODELS = ("resnet8_cifar10", "mobilenet_v1_025_vww", "autoencoder_ad", "dscnn_kws", "streaming_wakeword")


@pytest.mark.parametrize("name", MODELS)
def test_tensorflows_int8_files_come_back_with_equal_integers(name: str, real_data: Path) -> None:
    path = real_data / "models" / f"{name}_int8_tf.tflite"
    graph = ek.load(path)
    content = path.read_bytes()
    equal_integers(content, graph)
    again = export(graph)
    assert len(again) <= len(content)
