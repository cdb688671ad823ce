"""The C++ form of a model: it compiles, holds the same bytes, and registers what the model needs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.errors import InputError, Unsupported
from edgekit.export.tflm_c import as_c, write_c
from edgekit.formats.tflite.model import Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write

#: Stands in for TensorFlow Lite Micro's header: any registration succeeds while there is room, and is printed.
STAND_IN = """
#pragma once
#include <cstdio>
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
namespace tflite {
template <unsigned N> class MicroMutableOpResolver {
  unsigned used_ = 0;
  TfLiteStatus Add(const char* name) { std::printf("%s ", name); return used_++ < N ? kTfLiteOk : kTfLiteError; }
 public:
  TfLiteStatus AddFullyConnected() { return Add("FullyConnected"); }
  TfLiteStatus AddConv2D() { return Add("Conv2D"); }
  TfLiteStatus AddDepthwiseConv2D() { return Add("DepthwiseConv2D"); }
  TfLiteStatus AddAveragePool2D() { return Add("AveragePool2D"); }
  TfLiteStatus AddReshape() { return Add("Reshape"); }
  TfLiteStatus AddSoftmax() { return Add("Softmax"); }
  TfLiteStatus AddRelu6() { return Add("Relu6"); }
};
}
"""

MAIN = """
#include "{file}.h"
int main() {{
  unsigned long sum = 0;
  for (size_t i = 0; i < {file}::kModelBytes; i++) sum = sum * 31 + {file}::model[i];
  {file}::OpResolver resolver;
  TfLiteStatus status = {file}::RegisterOps(resolver);
  std::printf("| %d %zu %zu %lu %d", status, {file}::kModelBytes, {file}::kTensorArenaBytes, sum,
              (int)(reinterpret_cast<uintptr_t>({file}::model) % 16));
}}
"""


def tiny(code: BuiltinOperator = BuiltinOperator.RELU6, custom: str = "") -> bytes:
    tensors = (Tensor("x", (1, 4), TensorType.INT8), Tensor("y", (1, 4), TensorType.INT8))
    return write(Model((Subgraph(tensors, (0,), (1,), (Operator(code, (0,), (1,), custom_code=custom),)),)))


def compiled_output(header: str, source: str, file: str, folder: Path) -> str:
    if shutil.which("c++") is None:
        pytest.skip("the program c++ is not installed")
    stand_in = folder / "tensorflow/lite/micro"
    stand_in.mkdir(parents=True)
    (stand_in / "micro_mutable_op_resolver.h").write_text(STAND_IN)
    (folder / f"{file}.h").write_text(header)
    (folder / f"{file}.cc").write_text(source)
    (folder / "main.cc").write_text(MAIN.format(file=file))
    program = folder / "program"
    command = ["c++", "-std=c++17", "-Wall", "-Werror", f"-I{folder}", str(folder / "main.cc"), str(folder / f"{file}.cc")]
    subprocess.run([*command, "-o", str(program)], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def test_the_array_compiles_and_holds_the_files_bytes(tmp_path: Path) -> None:
    content = tiny()
    files = as_c(content, "my model-1", arena_total=1001, arena_head=96)
    total = 0
    for byte in content:
        total = (total * 31 + byte) % 2**64
    printed = compiled_output(files.header, files.source, "my_model_1", tmp_path)
    assert printed == f"Relu6 | 0 {len(content)} 1008 {total} 0"


def test_a_custom_operator_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="'MyOp'"):
        as_c(tiny(BuiltinOperator.CUSTOM, "MyOp"), "model", arena_total=1000, arena_head=96)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file '.*model\.tflite'"):
        write_c(tmp_path / "model.tflite", tmp_path, arena_total=1000, arena_head=96)


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_a_real_model_gets_its_own_resolver_and_its_exact_arena(real_data: Path, tmp_path: Path) -> None:
    from edgekit.bench.micro import arena

    artifact = real_data / "models" / "dscnn_kws_int8_tf.tflite"
    planned = arena(artifact)
    header, source = write_c(artifact, tmp_path, arena_total=planned.total, arena_head=planned.head)
    printed = compiled_output(header.read_text(), source.read_text(), "dscnn_kws_int8_tf", tmp_path / "build")
    assert printed.startswith("AveragePool2D Conv2D DepthwiseConv2D FullyConnected Reshape Softmax | 0 53936 24272 ")


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_a_build_for_tflite_micro_writes_the_c_form_beside_the_file(tmp_path: Path) -> None:
    import torch

    import edgekit as ek
    from edgekit.bench.micro import arena

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(256, 3)
    )
    samples = torch.rand(16, 3, 8, 8)
    graph = ek.load(model.eval(), example_inputs=(samples[:1],))
    build = ek.build(graph, target="tflm-int8", calibration=samples.numpy(), output=tmp_path / "out")
    header = build.artifact.with_suffix(".h").read_text()
    needed = -(-arena(build.artifact).total // 16) * 16
    assert f"kTensorArenaBytes = {needed};" in header and "AddConv2D" in header
    assert build.artifact.with_suffix(".cc").read_text().count("0x") == build.artifact.stat().st_size
