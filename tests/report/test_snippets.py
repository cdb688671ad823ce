"""The code in the report is run: Python against the real runtimes, Kotlin through the compiler where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.export.onnx.convert import export as to_onnx
from edgekit.export.tflite.exporter import export as to_tflite
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph, QuantParams
from edgekit.ir.text import parse
from edgekit.report import IoTensor
from edgekit.report.from_artifact import io_info
from edgekit.report.snippets import kotlin_snippet, python_snippet
from edgekit.report.snippets.feeding import identifiers, quantization, window
from edgekit.runtime.artifact import Artifact

IMAGE = """
    graph net(%image: float32[N,3,8,8])
      @w: float32[4,3,3,3]
      @l: float32[5,4]
      %a = conv2d(%image, @w, padding=((1, 1), (1, 1)), activation='relu')
      %m = mean(%a, axes=(2, 3))
      %y = linear(%m, @l)
      return %y
"""
SIGNAL = """
    graph har(%accel.x: float32[N,6,64])
      @w: float32[4,6,3]
      @l: float32[5,4]
      %a = conv1d(%accel.x, @w, activation='relu')
      %m = mean(%a, axes=(2,))
      %y = linear(%m, @l)
      return %y, %m
"""
TOKENS = """
    graph words(%ids: int64[N,7], %bias: float32[N,7,3])
      @table: float32[9,3]
      %e = gather(%table, %ids)
      %y = add(%e, %bias)
      return %y
""".replace("gather(%table", "gather(@table")


def quantised(graph: Graph) -> Graph:
    """int8 all through, with scales that fit standard normal inputs."""
    sizes: dict[str, float] = {}
    inputs = [torch.randn(v.type.at(64), generator=torch.Generator().manual_seed(5)) for v in graph.inputs]
    with torch.no_grad():
        graph.module().eval().run(inputs, observe=lambda v, t: sizes.update({v.name: float(t.abs().max())}))
    for node in graph.nodes:
        for value in (*node.inputs, *node.outputs):
            if value is None:
                continue
            if value.is_constant:
                largest = value.tensor.detach().flatten(1).abs().amax(1) / 127
                value.quant = QuantParams("int8", tuple(largest.tolist()), (0,) * len(largest), 0, True)
            else:
                value.quant = QuantParams("int8", (sizes[value.name] / 127,), (3,))
    return graph


def run_python(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code, "snippet.py", "exec"), names)
    return names


@pytest.mark.parametrize("form", ["float.tflite", "int8.tflite", "float.onnx", "int8.onnx"])
@pytest.mark.parametrize("text", [IMAGE, SIGNAL], ids=["image", "signal"])
def test_the_python_code_gives_what_the_artifact_gives(
    text: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = quantised(parse(text)) if form.startswith("int8") else parse(text)
    data = to_tflite(graph) if form.endswith("tflite") else to_onnx(graph)
    (tmp_path / form).write_bytes(data)
    artifact = Artifact(tmp_path / form)
    code = run_python(io_info(artifact.record, form, list("abcde")).snippets["python"], tmp_path, monkeypatch)
    sample = np.random.default_rng(0).normal(size=graph.inputs[0].type.at(1)).astype(np.float32)
    wanted = artifact.run_flat(sample)
    last = form.endswith("tflite")  # these files keep the channels last
    got = code["predict"](np.moveaxis(sample[0], 0, -1) if last else sample[0])
    for ours, theirs in zip(got if isinstance(got, tuple) else [got], wanted, strict=True):
        np.testing.assert_allclose(ours, theirs[0], rtol=1e-6, atol=1e-6)
    assert code["label"](wanted[0][0]) == "abcde"[int(np.argmax(wanted[0][0]))]


def test_several_inputs_of_several_types_are_fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for form, data in (("words.tflite", to_tflite(parse(TOKENS))), ("words.onnx", to_onnx(parse(TOKENS)))):
        (tmp_path / form).write_bytes(data)
        artifact = Artifact(tmp_path / form)
        code = run_python(io_info(artifact.record, form).snippets["python"], tmp_path, monkeypatch)
        ids, bias = np.arange(7)[None], np.random.default_rng(0).normal(size=(1, 7, 3)).astype(np.float32)
        np.testing.assert_allclose(code["predict"](ids[0], bias[0]), artifact.run_flat((ids, bias))[0][0], rtol=1e-6)


def test_a_ring_buffer_gives_the_last_samples_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for form, data, turned in (
        ("har.tflite", to_tflite(parse(SIGNAL)), False),
        ("har.onnx", to_onnx(parse(SIGNAL)), True),
    ):
        (tmp_path / form).write_bytes(data)
        code = run_python(io_info(Artifact(tmp_path / form).record, form).snippets["python"], tmp_path, monkeypatch)
        ring = code["Window"]()
        for step in range(100):
            assert ring.ready() == (step >= 64)
            ring.add(np.full(6, step, np.float32))
        read = ring.read().T if turned else ring.read()
        np.testing.assert_array_equal(read, np.arange(36, 100, dtype=np.float32)[:, None].repeat(6, axis=1))


def test_raw_bytes_become_the_files_integers_where_its_quantisation_preprocesses() -> None:
    given = {"scale": 255.0, "mean": (128 / 255,), "std": (0.25,), "layout": "", "by_quantization": True}
    scale = float(np.float32(1 / (255 * 0.25)))
    zero = 128
    assert quantization(IoTensor("x", (1, 4), (None, 4), "source", "int8", scale, zero - 128, given)) == (1.0, -128)
    assert quantization(IoTensor("x", (1, 4), (None, 4), "source", "uint8", scale, zero, given)) == (1.0, 0)
    plain = {**given, "by_quantization": False}
    assert quantization(IoTensor("x", (1, 4), (None, 4), "source", "int8", 1.0, -128, plain)) == (1.0, -128)


def test_windows_are_signals_and_nothing_else() -> None:
    def of(shape: tuple[int, ...], layout: str = "source", dtype: str = "float32") -> object:
        return window(IoTensor("x", shape, (None, *shape[1:]), layout, dtype))  # type: ignore[arg-type]

    assert of((1, 128, 6)) and of((1, 6, 128)) and of((1, 128, 6), "channels_last", "int8")
    assert not of((1, 32, 32, 3)) and not of((1, 10)) and not of((1, 7, 7)) and not of((1, 77, 768))
    assert not of((1, 128, 6), dtype="int64")
    assert not of((3, 128, 6))  # three windows at once


@pytest.mark.parametrize("form", ["float.tflite", "int8.tflite"])
@pytest.mark.parametrize("text", [IMAGE, SIGNAL], ids=["image", "signal"])
def test_a_file_of_a_larger_batch_takes_that_many_samples(
    text: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = quantised(parse(text)) if form.startswith("int8") else parse(text)
    (tmp_path / form).write_bytes(to_tflite(graph, TfliteOptions(batch=3)))
    artifact = Artifact(tmp_path / form)
    snippet = io_info(artifact.record, form).snippets["python"]
    assert "3 samples in, floats out" in snippet and "in the order sample, " in snippet and "class Window" not in snippet
    sample = np.random.default_rng(0).normal(size=graph.inputs[0].type.at(3)).astype(np.float32)
    got = run_python(snippet, tmp_path, monkeypatch)["predict"](np.moveaxis(sample, 1, -1))
    for ours, theirs in zip(got if isinstance(got, tuple) else [got], artifact.run_flat(sample), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_bytes_that_are_no_raw_values_are_quantised() -> None:
    unsigned = IoTensor("x", (1, 4), (None, 4), "source", "uint8", 0.5, 128)
    output = IoTensor("y", (1, 2), (None, 2), "source", "uint8", 0.25, 0)
    code = python_snippet("net.tflite", [unsigned], [output])
    assert "np.rint(np.asarray(x, np.float32) / np.float32(0.5)) + 128" in code and "np.clip(x, 0, 255)" in code
    assert "return out0[0].astype(np.float32) * np.float32(0.25)" in code
    assert "fun predict(x: FloatArray)" in (kotlin := kotlin_snippet("net.tflite", [unsigned], [output]))
    assert "quantize(value, 0.5f, 128).coerceIn(0, 255).toByte()" in kotlin
    camera = IoTensor("x", (1, 4), (None, 4), "source", "uint8", 1.0, 0, {"scale": 255.0})
    assert "np.asarray(x, np.uint8)" in python_snippet("net.tflite", [camera], [output])


def test_names_become_identifiers() -> None:
    def tensors(*names: str) -> list[IoTensor]:
        return [IoTensor(name, (1,), (1,), "source", "float32") for name in names]

    assert identifiers(tensors("accel.x", "class", "3d", "", "Input_1", "in0", "predict", "été"), "values") == [
        "accelX",
        "values",
        "values2",
        "values3",
        "input1",
        "values4",
        "values5",
        "t",
    ]
    assert identifiers(tensors("accel.x", "accel/x"), "v", snake=True) == ["accel_x", "accel_x2"]


LITERT_STUB = """package org.tensorflow.lite;
public class Interpreter {
  public Interpreter(java.nio.ByteBuffer model) {}
  public void runForMultipleInputsOutputs(Object[] inputs, java.util.Map<Integer, Object> outputs) {}
}
"""
ORT_STUBS = {
    "OnnxJavaType": "public enum OnnxJavaType { INT8, UINT8, BOOL }",
    "OnnxValue": "public interface OnnxValue extends AutoCloseable { void close(); }",
    "OnnxTensor": """public class OnnxTensor implements OnnxValue {
  public static OnnxTensor createTensor(OrtEnvironment e, java.nio.FloatBuffer b, long[] shape) { return null; }
  public static OnnxTensor createTensor(OrtEnvironment e, java.nio.LongBuffer b, long[] shape) { return null; }
  public static OnnxTensor createTensor(OrtEnvironment e, java.nio.ByteBuffer b, long[] shape, OnnxJavaType t) { return null; }
  public java.nio.FloatBuffer getFloatBuffer() { return null; }
  public java.nio.LongBuffer getLongBuffer() { return null; }
  public java.nio.ByteBuffer getByteBuffer() { return null; }
  public void close() {}
}""",
    "OrtEnvironment": """public class OrtEnvironment {
  public static OrtEnvironment getEnvironment() { return null; }
  public OrtSession createSession(byte[] model) { return null; }
}""",
    "OrtSession": """public class OrtSession {
  public Result run(java.util.Map<String, OnnxTensor> inputs) { return null; }
  public static class Result implements AutoCloseable { public OnnxValue get(int i) { return null; } public void close() {} }
}""",
}


@pytest.mark.slow
def test_the_kotlin_code_compiles(tmp_path: Path) -> None:
    if shutil.which("kotlinc") is None or shutil.which("javac") is None:
        pytest.skip("needs kotlinc and javac")
    image = IoTensor("image", (1, 8, 8, 3), (None, 3, 8, 8), "channels_last", "int8", 0.0186, -14)
    camera = IoTensor("camera", (1, 9), (None, 9), "source", "uint8", 0.5, 0)
    signal = IoTensor("accel.x", (1, 64, 6), (None, 6, 64), "channels_last", "float32")
    turned = IoTensor("gyro", (1, 6, 64), (None, 6, 64), "source", "float32")
    ids = IoTensor("ids", (1, 7), (None, 7), "source", "int64")
    scores = IoTensor("scores", (1, 5), (None, 5), "source", "int8", 0.17, -8)
    bytes_out = IoTensor("seen", (1, 2), (None, 2), "source", "uint8", 0.5, 3)
    floats = IoTensor("y", (1, 3), (None, 3), "source", "float32")
    plain = IoTensor("z", (1, 3), (None, 3), "source", "int64")
    sources = {
        "A.kt": kotlin_snippet("net.tflite", [image], [scores], ["a", 'quote "$x"']),
        "B.kt": kotlin_snippet("2-har.tflite", [signal, camera, ids], [scores, floats, bytes_out, plain]),
        "C.kt": kotlin_snippet("words.onnx", [turned, ids], [floats, plain]),
    }
    for number, (name, text) in enumerate(sources.items()):
        (tmp_path / name).write_text(f"package p{number}\n{text}")
    java = tmp_path / "java"
    (java / "org/tensorflow/lite").mkdir(parents=True)
    (java / "org/tensorflow/lite/Interpreter.java").write_text(LITERT_STUB)
    (java / "ai/onnxruntime").mkdir(parents=True)
    for name, text in ORT_STUBS.items():
        (java / f"ai/onnxruntime/{name}.java").write_text(f"package ai.onnxruntime;\n{text}\n")
    classes = tmp_path / "classes"
    subprocess.run(["javac", "-d", str(classes), *map(str, java.rglob("*.java"))], check=True, capture_output=True)
    done = subprocess.run(
        ["kotlinc", *sources, "-cp", "classes", "-d", "out.jar"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "warning: unused" not in done.stderr, done.stderr


def test_code_is_made_for_every_file_without_a_record() -> None:
    code = python_snippet("net.tflite", [IoTensor("x", (1, 3), (None, 3), "source", "float32")], [])
    compile(code, "snippet.py", "exec")
