"""TensorFlow Lite Micro's arena: exact, from a process of its own, with errors a user can act on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgekit.bench import micro
from edgekit.errors import DeviceError, InputError, Unsupported
from edgekit.formats.tflite.model import Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write

needs_tflm = pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed")


def model_with(code: BuiltinOperator) -> bytes:
    tensors = (Tensor("x", (1, 4), TensorType.FLOAT32), Tensor("y", (1, 4), TensorType.FLOAT32))
    return write(Model((Subgraph(tensors, (0,), (1,), (Operator(code, (0,), (1,)),)),)))


@needs_tflm
@pytest.mark.parametrize(
    ("name", "total", "head"),
    [
        ("resnet8_cifar10_int8_tf", 55984, 49152),
        ("dscnn_kws_int8_tf", 24272, 16000),
        ("mobilenet_v1_025_vww_int8_tf", 103680, 73728),
        ("autoencoder_ad_int8_tf", 3984, 768),
    ],
)
def test_the_arena_of_the_tiny_networks(name: str, total: int, head: int, real_data: Path) -> None:
    path = real_data / "models" / f"{name}.tflite"
    found = micro.arena(path)
    assert (found.total, found.head) == (total, head)
    assert found.head + found.tail == found.total and found.flash_bytes == path.stat().st_size


@needs_tflm
def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gelu.tflite"
    path.write_bytes(model_with(BuiltinOperator.GELU))
    with pytest.raises(Unsupported, match="GELU") as caught:
        micro.arena(path)
    assert caught.value.exit_code == 4 and caught.value.where == str(path)


@needs_tflm
def test_a_type_that_it_lacks_is_named(real_data: Path) -> None:
    with pytest.raises(Unsupported, match="Hybrid models are not supported"):
        micro.arena(real_data / "models" / "dscnn_kws_dynamic_range.tflite")


def test_a_damaged_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "damaged.tflite").write_bytes(model_with(BuiltinOperator.LOGISTIC)[:200])
    with pytest.raises(InputError, match="damaged"):
        micro.arena(tmp_path / "damaged.tflite")
    with pytest.raises(InputError, match="no file"):
        micro.arena(tmp_path / "missing.tflite")


def test_a_model_that_kills_the_interpreter_does_not_kill_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.tflite").write_bytes(model_with(BuiltinOperator.LOGISTIC))
    monkeypatch.setattr(micro, "available", lambda: True)
    monkeypatch.setattr(micro, "_SCRIPT", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(InputError, match="crashed on this model \\(signal 11\\)"):
        micro.arena(tmp_path / "model.tflite")


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.tflite").write_bytes(model_with(BuiltinOperator.LOGISTIC))
    monkeypatch.setattr(micro, "available", lambda: False)
    with pytest.raises(DeviceError, match="tflite-micro") as caught:
        micro.arena(tmp_path / "model.tflite")
    assert caught.value.hint == "pip install 'edgekit[micro]'"
