"""Running an artifact in the source's terms, with nothing but the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.errors import InputError, UsageError
from edgekit.formats.io_metadata import IO_KEY, FileTensor, IoRecord, Preprocessing, Structure, TensorIo, encode
from edgekit.formats.tflite.model import Model, Operator, Options, Quantization, Signature, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write
from edgekit.runtime.artifact import Artifact, run


def doubler(
    int8: bool, structure: Structure = 0, preprocessing: Preprocessing | None = None, layout: str = "channels_last"
) -> bytes:
    """y = x + x on [1, 4, 4, 2] in the file, (N, 2, 4, 4) in the source."""
    kind = TensorType.INT8 if int8 else TensorType.FLOAT32
    names = {"x": 0.1, "y": 0.2}
    tensors = tuple(
        Tensor(
            name,
            (1, 4, 4, 2),
            kind,
            quantization=Quantization(np.array([scale], np.float32), np.array([5])) if int8 else None,
        )
        for name, scale in names.items()
    )
    operator = Operator(BuiltinOperator.ADD, (0, 0), (1,), Options("AddOptions"), 2 if int8 else 1)
    file = [FileTensor(name, (1, 4, 4, 2), "int8" if int8 else "float32") for name in names]
    record = IoRecord(
        (TensorIo(file[0], layout, preprocessing=preprocessing),),  # type: ignore[arg-type]
        (TensorIo(file[1], layout),),  # type: ignore[arg-type]
        structure,
    )
    signature = Signature("serving_default", {"x": 0}, {"y": 1})
    return write(Model((Subgraph(tensors, (0,), (1,), (operator,)),), (signature,), {IO_KEY: encode(record)}))


def samples(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).uniform(-10, 10, (count, 2, 4, 4)).astype(np.float32)


def test_a_float_artifact_takes_the_sources_layout_and_any_batch(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(doubler(int8=False))
    for count in (1, 5):
        np.testing.assert_array_equal(run(path, samples(count)), 2 * samples(count))


def test_an_integer_artifact_takes_and_gives_floats() -> None:
    y = Artifact(doubler(int8=True)).run(samples(6))
    assert y.dtype == np.float32
    assert np.abs(y - 2 * samples(6)).max() <= 0.2  # half a step of the input, doubled, and half of the output


@pytest.mark.parametrize("structure", [(0,), [0], {"logits": 0}, ({"a": [0]}, None)])
def test_outputs_are_nested_as_the_source_nested_them(structure: Structure) -> None:
    y = Artifact(doubler(int8=False, structure=structure)).run(samples(2))
    expected = {
        "(0,)": lambda v: v[0],
        "[0]": lambda v: v[0],
        "{'logits': 0}": lambda v: v["logits"],
        "({'a': [0]}, None)": lambda v: v[0]["a"][0],
    }[str(structure)]
    assert type(y) is type(structure)
    np.testing.assert_array_equal(expected(y), 2 * samples(2))


def test_inputs_come_as_one_array_a_tuple_or_by_name() -> None:
    artifact = Artifact(doubler(int8=False))
    expected = 2 * samples(3)
    for inputs in (samples(3), (samples(3),), {"x": samples(3)}, list(samples(3))):
        np.testing.assert_array_equal(artifact.run(inputs), expected)


def test_raw_bytes_need_declared_preprocessing() -> None:
    raw = samples(2).astype(np.int8).view(np.uint8)
    with pytest.raises(InputError, match="uint8") as caught:
        Artifact(doubler(int8=False)).run(raw)
    assert "255" in str(caught.value.hint)
    declared = doubler(int8=False, preprocessing=Preprocessing(1.0))
    np.testing.assert_array_equal(Artifact(declared).run(raw), 2 * raw.astype(np.float32))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (samples(2).transpose(0, 2, 3, 1), r"takes \[N, 2, 4, 4\]"),
        ({"z": samples(1)}, r"\['x'\]"),
        (np.full((1, 2, 4, 4), np.nan, np.float32), "NaN"),
        (np.zeros((0, 2, 4, 4), np.float32), "no sample"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Artifact(doubler(int8=True)).run(inputs)  # type: ignore[arg-type]


def test_a_file_of_another_maker_runs_as_it_is(real_data: Path) -> None:
    path = real_data / "models" / "resnet8_cifar10_int8_tf.tflite"
    if not path.exists():
        pytest.skip(f"EDGEKIT_DATA has no {path.name}")
    y = run(path, np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)))
    assert y.shape == (3, 10)
    np.testing.assert_allclose(y.sum(1), 1, atol=0.02)


def test_an_onnx_artifact_runs_likewise(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [value[0]], [value[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = [FileTensor(name, (None, 3), "float32") for name in "xy"]
    record = encode(IoRecord((TensorIo(file[0]),), (TensorIo(file[1]),), {"out": 0}))
    helper.set_model_props(model, {IO_KEY: record.decode()})
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    x = np.arange(12, dtype=np.float64).reshape(4, 3)
    np.testing.assert_array_equal(run(path, x)["out"], 2 * x)


def test_missing_and_foreign_files_are_errors_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        run(tmp_path / "none.tflite", samples(1))
    with pytest.raises(UsageError, match=r"net\.pt"):
        run(tmp_path / "net.pt", samples(1))
    path = tmp_path / "net.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="ONNX Runtime cannot load") as caught:
        run(path, samples(1))
    assert caught.value.where == str(path)
    path = tmp_path / "net.tflite"
    for content, message in ((b"nonsense", "not a TensorFlow Lite file"), (doubler(int8=True)[:300], "damaged")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            run(path, samples(1))
        assert caught.value.where == str(path) and caught.value.hint


def test_running_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(doubler(int8=True))
    code = (
        "import sys, numpy; from edgekit.runtime.artifact import run;"
        f"run({str(path)!r}, numpy.zeros((1, 2, 4, 4))); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert done.stderr == ""
