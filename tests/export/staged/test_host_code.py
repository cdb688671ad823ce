"""The code of hosts: every language's loop leaves at the same exits, with the same answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.export.staged.hosts import byte_size, host_code
from edgekit.export.staged.manifest import Manifest, Stage, StageTensor
from tests.export.staged.hosts import NAME, build, facts, record, told, write_tensors

#: Reads the recorded tensors of a sample: what a runtime would have given.
_CPP = r"""
#include <cstdio>
#include <fstream>
#include <iterator>
#include "tiny_net_stages.hpp"
namespace stage = tiny_net::stage;
struct Recorded : stage::Runner {
  std::string prefix;
  std::map<std::string, std::size_t> given;
  int calls = 0;
  bool set(const char* name, const void*, std::size_t size) override { return (given[name] = size) > 0; }
  bool invoke() override { return ++calls == 1; }
  bool get(const char* name, void* bytes, std::size_t size) override {
    std::ifstream file(prefix + name, std::ios::binary);
    const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
    if (all.size() != size) return false;
    std::memcpy(bytes, all.data(), size);
    return true;
  }
};
int main(int, char** argv) {
  for (int i = 0; i < 12; ++i) {
    const std::string prefix = std::string(argv[1]) + "/" + std::to_string(i) + ".";
    Recorded runs[3];
    for (Recorded& run : runs) run.prefix = prefix;
    stage::Tensors tensors, outputs;
    tensors["x"].resize(stage::stages()[0].inputs[0].bytes);
    const int answered = stage::run({&runs[0], &runs[1], &runs[2]}, tensors, outputs);
    int sum = 0;
    for (std::uint8_t byte : outputs["answer"]) sum += byte;
    std::printf("%d %d\n", answered, sum);
  }
  stage::Tensors none, outputs;
  Recorded run;
  return stage::run({&run, &run, &run}, none, outputs) == -1 ? 0 : 1;  // an input is missing
}
"""

_KOTLIN = r"""
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import tiny_net.StageRunner
import tiny_net.TinyNetStages

fun main(args: Array<String>) {
    for (i in 0 until 12) {
        val stages = TinyNetStages {
            object : StageRunner {
                override fun run(inputs: Map<String, ByteBuffer>, outputs: Map<String, ByteBuffer>) {
                    for ((name, bytes) in outputs) bytes.put(File(args[0], "$i.$name").readBytes())
                }
            }
        }
        val first = TinyNetStages.stages[0].inputs[0]
        val given = ByteBuffer.allocateDirect(first.bytes).order(ByteOrder.nativeOrder())
        val answer = stages.run(mapOf(first.name to given))
        val bytes = answer.outputs.getValue("answer")
        println("${answer.stage} ${(0 until bytes.capacity()).sumBy { bytes.get(it).toInt() and 0xFF }}")
    }
}
"""

#: What the adapter for LiteRT needs of its library.
_INTERPRETER = """
package org.tensorflow.lite
class Interpreter(val model: java.nio.ByteBuffer) {
    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>) { check(inputs.isNotEmpty() && outputs.isNotEmpty()) }
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_the_loop_in_cpp_compiles_without_a_warning_and_answers_as_the_one_in_python(tmp_path: Path) -> None:
    manifest, _ = build(tmp_path / "out", "margin")
    recorded = record(manifest, 12)
    assert {sample.answer.stage for sample in recorded} == {0, 1, 2}
    write_tensors(recorded, tmp_path)
    (tmp_path / "main.cc").write_text(_CPP)
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wpedantic"]
    program = tmp_path / "main"
    command = ["g++", *flags, f"-I{manifest.parent}", str(tmp_path / "main.cc"), "-o", str(program)]
    subprocess.run(command, check=True, timeout=120)
    done = subprocess.run([program, tmp_path], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines() == told(recorded)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kotlinc") is None, reason="no Kotlin compiler here")
@pytest.mark.parametrize(("score", "target"), [("entropy", "tflite-fp32"), ("confidence", "tflite-int8")])
def test_the_loop_in_kotlin_answers_as_the_one_in_python(score: str, target: str, tmp_path: Path) -> None:
    manifest, _ = build(tmp_path / "out", score, target)
    recorded = record(manifest, 12)
    write_tensors(recorded, tmp_path)
    (tmp_path / "main.kt").write_text(_KOTLIN)
    (tmp_path / "interpreter.kt").write_text(_INTERPRETER)
    sources = [tmp_path / "main.kt", tmp_path / "interpreter.kt", manifest.parent / "TinyNetStages.kt"]
    subprocess.run(["kotlinc", *sources, "-d", tmp_path / "all.jar", "-include-runtime"], check=True, timeout=300)
    done = subprocess.run(["java", "-cp", tmp_path / "all.jar", "MainKt", tmp_path], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == told(recorded), done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize(("score", "target"), [("entropy", "tflite-fp32"), ("confidence", "tflite-int8")])
def test_all_scores_are_the_same_in_cpp(score: str, target: str, tmp_path: Path) -> None:
    manifest, _ = build(tmp_path / "out", score, target)
    recorded = record(manifest, 12)
    write_tensors(recorded, tmp_path)
    (tmp_path / "main.cc").write_text(_CPP)
    program = tmp_path / "main"
    subprocess.run(["g++", "-std=c++17", f"-I{manifest.parent}", tmp_path / "main.cc", "-o", program], check=True, timeout=120)
    done = subprocess.run([program, tmp_path], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines() == told(recorded)


def test_the_loop_in_python_runs_alone_beside_the_files(tmp_path: Path) -> None:
    manifest, report = build(tmp_path, "confidence", "onnx-fp32")
    row = facts(manifest)["stages"][0]["inputs"][0]
    np.savez(tmp_path / "sample.npz", x=np.zeros(row["shape"], row["dtype"]))
    script = manifest.parent / f"{NAME}.stages.py"
    assert "import edgekit" not in script.read_text() and "from edgekit" not in script.read_text()
    command = [sys.executable, "-I", str(script), str(manifest), str(tmp_path / "sample.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    whole = ek_run(manifest, np.zeros(row["shape"], row["dtype"]))
    shown = [float(number) for number in done.stdout.split("[")[1].split("]")[0].split(",")]
    np.testing.assert_allclose(shown, whole.reshape(-1), atol=1e-4)
    assert [stage.path for stage in report.stages] == [stage["file"] for stage in facts(manifest)["stages"]]


def ek_run(manifest: Path, x: np.ndarray) -> np.ndarray:
    """The one file's answer."""
    import edgekit as ek

    result: np.ndarray = ek.run(manifest.parent / f"{NAME}.onnx", x)
    return result


def test_the_code_of_hosts_holds_names_with_quotes_and_numbers_of_all_sizes() -> None:
    image, logits = StageTensor("x", (1, 2), "float32"), StageTensor('say "$y"', (1, 5), "int8", 1e-7, -128)
    stages = (
        Stage("n.stage_0.tflite", 10, (image,), (logits,), logits.name, {"y": logits.name}, 2.0, 0.5),
        Stage("n.stage_1.tflite", 10, (logits,), (logits,), logits.name, {"y": logits.name}),
    )
    assert "namespace net_class::stage {" in host_code(Manifest("class", "margin", stages))["net_class_stages.hpp"]
    texts = host_code(Manifest("2 n", "margin", stages))
    assert set(texts) == {"2 n.stages.py", "net_2_n_stages.hpp", "Net2NStages.kt", "Net2NStages.swift"}
    kotlin, swift, cpp = texts["Net2NStages.kt"], texts["Net2NStages.swift"], texts["net_2_n_stages.hpp"]
    assert 'StageTensor("say \\"\\$y\\"", "int8", 5, 1e-07f, -128)' in kotlin
    assert 'Tensor(name: "say \\"$y\\"", type: "int8", bytes: 5, scale: 1e-07, zeroPoint: -128)' in swift
    assert '{"say \\"$y\\"", Type::kInt8, 5, 1e-07F, -128}' in cpp
    assert "threshold: 0.5\n" in swift and "threshold: nil\n" in swift
    assert byte_size(image) == 8
    for text in texts.values():
        assert "@" not in text.replace("@escaping", "").replace("@dataclass", ""), "a word that was not filled in"
        for pair in ("()", "[]", "{}"):
            assert text.count(pair[0]) == text.count(pair[1]), pair
