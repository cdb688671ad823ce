"""Reading and writing .tflite files without a runtime, checked against the official schema and against runtimes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.formats.tflite.model import Model, Operator, Options, Quantization, Signature, Subgraph, Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import TABLES, ActivationFunctionType, BuiltinOperator, Padding, TensorType
from edgekit.formats.tflite.tables import fields_of
from edgekit.formats.tflite.write import write
from edgekit.runtime.litert import LiteRT
from tests import tflite_runtimes

INT8_MODELS = [
    "resnet8_cifar10_int8_tf",
    "dscnn_kws_int8_tf",
    "mobilenet_v1_025_vww_int8_tf",
    "autoencoder_ad_int8_tf",
    "streaming_wakeword_int8_tf",
]

#: What a compact writer must reach for the reference networks, a signature and 60 bytes of metadata included.
LARGEST = {
    "resnet8_cifar10_int8_tf": 86_200,
    "dscnn_kws_int8_tf": 33_000,
    "mobilenet_v1_025_vww_int8_tf": 252_800,
    "autoencoder_ad_int8_tf": 274_100,
}


def reference(real_data: Path, name: str) -> bytes:
    path = real_data / "models" / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"EDGEKIT_DATA has no {path.name}")
    return path.read_bytes()


def tiny_model(seed: int = 0) -> Model:
    """A convolution with eight filters and a dense layer, float."""
    rng = np.random.default_rng(seed)

    def constant(*shape: int) -> Tensor:
        return Tensor("", shape, TensorType.FLOAT32, rng.standard_normal(shape).astype(np.float32).tobytes())

    def activation(name: str, *shape: int) -> Tensor:
        return Tensor(name, shape, TensorType.FLOAT32)

    tensors = (
        activation("x", 1, 6, 6, 3),
        constant(8, 3, 3, 3),
        constant(8),
        activation("middle", 1, 6, 6, 8),
        constant(5, 288),
        constant(5),
        activation("y", 1, 5),
    )
    convolution = Options(
        "Conv2DOptions",
        {"padding": Padding.SAME, "stride_w": 1, "stride_h": 1, "fused_activation_function": ActivationFunctionType.RELU},
    )
    operators = (
        Operator(BuiltinOperator.CONV_2D, (0, 1, 2), (3,), convolution),
        Operator(BuiltinOperator.FULLY_CONNECTED, (3, 4, 5), (6,), Options("FullyConnectedOptions")),
    )
    signature = Signature("serving_default", {"x": 0}, {"y": 6})
    return Model((Subgraph(tensors, (0,), (6,), operators),), (signature,), {"edgekit.io/1": b'{"inputs":[{}],"outputs":[{}]}'})


def compacted(model: Model) -> Model:
    """The same network as edgekit would write it: no names, and no RESHAPE before a FULLY_CONNECTED, which flattens itself."""
    main, renamed, operators = model.main, {-1: -1}, []
    for operator in main.operators:
        readers = [other for other in main.operators if operator.outputs[0] in other.inputs]
        if operator.code == BuiltinOperator.RESHAPE and [r.code for r in readers] == [BuiltinOperator.FULLY_CONNECTED]:
            renamed[operator.outputs[0]] = operator.inputs[0]
        else:
            operators.append(dataclasses.replace(operator, inputs=tuple(renamed.get(i, i) for i in operator.inputs)))
    used = dict.fromkeys([*main.inputs, *(i for o in operators for i in (*o.inputs, *o.outputs) if i >= 0), *main.outputs])
    place = {old: new for new, old in enumerate(used)} | {-1: -1}
    names = dict(zip((*main.inputs, *main.outputs), ("x", "y"), strict=True))
    subgraph = Subgraph(
        tuple(dataclasses.replace(main.tensors[old], name=names.get(old, ""), shape_signature=()) for old in used),
        tuple(place[i] for i in main.inputs),
        tuple(place[i] for i in main.outputs),
        tuple(
            dataclasses.replace(o, inputs=tuple(place[i] for i in o.inputs), outputs=tuple(place[i] for i in o.outputs))
            for o in operators
        ),
    )
    signature = Signature("serving_default", {"x": subgraph.inputs[0]}, {"y": subgraph.outputs[0]})
    return Model((subgraph,), (signature,), {"edgekit.io/1": b'{"inputs":[{"layout":"channels_last"}],"outputs":[{}]}'})


def as_plain(value: Any) -> Any:
    """Comparable data: arrays and views become bytes."""
    if isinstance(value, memoryview | bytes):
        return bytes(value)
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.tobytes())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_plain(item) for item in value]
    return value


def test_the_schema_is_the_official_one_field_by_field() -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
    try:
        import generate_tflite_schema as tool
    finally:
        sys.path.pop(0)
    import ai_edge_litert

    official: dict[str, Any] = {"__name__": "official"}
    text = (Path(ai_edge_litert.__file__).parent / "schema_py_generated.py").read_text(encoding="utf-8")
    exec(tool.generate(text), official)
    for table, fields in TABLES.items():
        # Schemas only grow: of two versions, one table's fields are the beginning of the other's.
        ours, theirs = fields.split(), official["TABLES"][table].split()
        shared = min(len(ours), len(theirs))
        assert ours[:shared] == theirs[:shared], table
    for enum in (TensorType, BuiltinOperator, Padding, ActivationFunctionType):
        common = {m.name: int(m) for m in enum if m.name in official[enum.__name__].__members__}
        assert common == {name: int(official[enum.__name__][name]) for name in common}
        assert len(common) >= 2


def test_importing_the_schema_is_cheap_and_needs_no_runtime() -> None:
    code = (
        "import numpy, flatbuffers, sys; before = set(sys.modules); import edgekit.formats.tflite.write;"
        "print(len(set(sys.modules) - before), 'ai_edge_litert' in sys.modules, 'torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(printed[0]) < 25 and printed[1:] == ["False", "False"]


def test_the_official_object_api_reads_what_we_wrote() -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="ai-edge-litert is not installed")
    official = schema.ModelT.InitFromObj(schema.Model.GetRootAs(write(tiny_model()), 0))
    (subgraph,) = official.subgraphs
    assert [official.operatorCodes[o.opcodeIndex].deprecatedBuiltinCode for o in subgraph.operators] == [3, 9]
    options = subgraph.operators[0].builtinOptions
    assert (options.padding, options.strideW, options.strideH, options.fusedActivationFunction) == (0, 1, 1, 1)
    assert options.dilationWFactor == 1
    assert [list(t.shape) for t in subgraph.tensors[:2]] == [[1, 6, 6, 3], [8, 3, 3, 3]]
    weights = official.buffers[subgraph.tensors[1].buffer].data
    assert bytes(weights) == bytes(tiny_model().main.tensors[1].data or b"")
    assert [t.name for t in subgraph.tensors] == [b"x", None, None, None, None, None, b"y"]
    assert official.signatureDefs[0].signatureKey == b"serving_default"
    assert official.metadata[0].name == b"edgekit.io/1"


def test_every_option_table_survives_writing_and_reading() -> None:
    """A value in every number, vector and string of every option table that an operator can have."""
    from edgekit.formats.tflite.schema_generated import BuiltinOptions, BuiltinOptions2

    for kind in (*list(BuiltinOptions)[1:], *list(BuiltinOptions2)[1:]):
        fields: dict[str, Any] = {}
        for field in fields_of(kind.name).values():
            if not field.number and field.kind != "str":
                continue
            one: Any = (
                "text"
                if field.kind == "str"
                else not field.default
                if field.kind == "bool"
                else 3.5
                if field.kind == "f32"
                else 7
            )
            fields[field.name] = (one, one) if field.vector else one
        model = tiny_model()
        operator = dataclasses.replace(model.main.operators[0], options=Options(kind.name, fields))
        model = dataclasses.replace(model, subgraphs=(dataclasses.replace(model.main, operators=(operator,)),))
        assert read(write(model)).main.operators[0].options == Options(kind.name, fields), kind.name


@pytest.mark.parametrize("name", [*INT8_MODELS, "lstm_mnist_fp32", "okay_nabu_stream_int8", "sine_fp32"])
def test_a_file_of_another_maker_survives_reading_and_writing(name: str, real_data: Path) -> None:
    model = read(reference(real_data, name))
    again = read(write(model, names="all"))
    assert as_plain(again) == as_plain(model)


@pytest.mark.parametrize("name", INT8_MODELS)
def test_a_compact_file_gives_the_same_integers_in_every_runtime(name: str, real_data: Path) -> None:
    original = reference(real_data, name)
    compact = write(compacted(read(original)))
    shape = read(original).main.tensors[read(original).main.inputs[0]].shape
    calls = [[np.random.default_rng(k).integers(-128, 128, shape, dtype=np.int8)] for k in range(4)]
    for kernels in ("default", "reference", "builtin"):
        first, second = LiteRT(original, kernels), LiteRT(compact, kernels)  # type: ignore[arg-type]
        for call in calls:
            np.testing.assert_array_equal(first.invoke(call)[0], second.invoke(call)[0])
    for runtime in (tflite_runtimes.run_micro, tflite_runtimes.run_2_14):
        np.testing.assert_array_equal(runtime(original, calls)[0], runtime(compact, calls)[0])


@pytest.mark.parametrize("name", LARGEST)
def test_compact_files_are_as_small_as_promised(name: str, real_data: Path) -> None:
    original = reference(real_data, name)
    assert len(write(compacted(read(original)))) <= LARGEST[name] < len(original)


def test_equal_content_is_written_once() -> None:
    model = tiny_model()
    doubled = dataclasses.replace(model, subgraphs=(model.main, model.main))
    growth = len(write(doubled)) - len(write(model))
    assert growth <= 8  # one more entry in the vector of subgraphs: even the subgraph's table is the same one

    quantization = Quantization(np.full(64, 0.5, np.float32), np.zeros(64, np.int64))
    tensors = tuple(dataclasses.replace(model.main.tensors[0], quantization=quantization) for _ in range(50))
    data = write(Model((Subgraph(tensors, (0,), (49,), ()),)))
    assert len(data) < 64 * 12 + 50 * 30 + 300


def test_the_same_model_gives_the_same_bytes_in_every_process() -> None:
    program = "from tests.formats.test_tflite_files import *; from zlib import crc32; print(crc32(write(tiny_model())))"
    root = Path(__file__).parents[2]
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(root)},
        ).stdout
        for seed in (1, 2)
    }
    assert len(digests) == 1


def test_buffers_are_inside_the_file_and_aligned_as_the_schema_demands() -> None:
    data = write(tiny_model())
    for tensor in read(data).main.tensors:
        if tensor.data is not None:
            start = np.frombuffer(tensor.data, np.uint8).__array_interface__["data"][0]
            base = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
            assert (start - base) % 16 == 0


def test_a_buffer_outside_the_flatbuffer_is_read_and_written_inside() -> None:
    """Other makers put large weights behind the flatbuffer; TFLite Micro ignores that and computes with garbage."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="ai-edge-litert is not installed")
    flatbuffers = pytest.importorskip("flatbuffers")
    official = schema.ModelT.InitFromObj(schema.Model.GetRootAs(write(tiny_model()), 0))
    weights = bytes(official.buffers[1].data)

    def packed() -> bytes:
        builder = flatbuffers.Builder(1 << 14)
        builder.Finish(official.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    official.buffers[1].data = None
    official.buffers[1].offset, official.buffers[1].size = 1 << 14, len(weights)
    data = packed().ljust(1 << 14, b"\0") + weights
    model = read(data)
    assert bytes(model.main.tensors[1].data or b"") == weights
    inside = write(model)
    assert schema.Model.GetRootAs(inside, 0).Buffers(1).Offset() == 0
    x = np.random.default_rng(0).standard_normal((1, 6, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(LiteRT(inside).invoke([x])[0], LiteRT(write(tiny_model())).invoke([x])[0])
    with pytest.raises(InputError, match="outside the flatbuffer"):
        read(data[:-1])


def test_a_file_that_is_no_tflite_file_is_refused() -> None:
    with pytest.raises(InputError, match="not a TensorFlow Lite file") as caught:
        read(b"PK\x03\x04 something else", where="net.tflite")
    assert caught.value.where == "net.tflite"
    assert caught.value.hint


def test_a_truncated_file_is_an_error_at_every_length() -> None:
    data = write(tiny_model())
    whole = as_plain(read(data))
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(InputError):
            assert as_plain(read(data[:length])) == whole


@settings(max_examples=300, deadline=2_000)
@given(st.data())
def test_a_damaged_file_never_crashes_or_hangs(data: st.DataObject) -> None:
    content = bytearray(write(tiny_model()))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(8, len(content) - 4))
        content[place : place + 4] = data.draw(st.binary(min_size=4, max_size=4))
    with contextlib.suppress(InputError):
        read(bytes(content))


def test_a_file_that_repeats_one_vector_without_end_is_refused() -> None:
    """A hostile file of some kilobytes whose 4,000 subgraphs all name the same 4,000 tensors."""
    from edgekit.formats.tflite.pool import Pool

    pool = Pool()
    buffers = pool.references([pool.table("Buffer")])
    tensor = pool.table("Tensor", refs={"shape": pool.vector("i32", range(1, 1000))})
    subgraph = pool.table("SubGraph", refs={"tensors": pool.references([tensor] * 4000)})
    root = pool.table("Model", {"version": 3}, {"subgraphs": pool.references([subgraph] * 4000), "buffers": buffers})
    with pytest.raises(InputError, match="without end"):
        read(pool.finish(root, b"TFL3"))


def test_data_that_does_not_fit_the_shape_is_a_programming_error() -> None:
    tensor = Tensor("", (4,), TensorType.FLOAT32, b"\0" * 12)
    with pytest.raises(ValueError, match="12 bytes of data for 16"):
        write(Model((Subgraph((tensor,), (), (), ()),)))
