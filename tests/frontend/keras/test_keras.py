"""Keras sources: TensorFlow converts in a process of its own, and what goes wrong there is an error of three parts."""

from __future__ import annotations

import ast
import importlib.util
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit import InputError, Unsupported, UsageError
from edgekit.formats.tflite.model import Signature
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.write import write
from edgekit.frontend.keras import environment, load
from edgekit.frontend.tflite.numbered_outputs import with_numbered_outputs
from tests.frontend.tflite.files import File

SCRIPT = Path(load.__file__).with_name("tensorflow_convert.py")


def small() -> bytes:
    f = File()
    y = f.op("FULLY_CONNECTED", [f.input(1, 4), f.weight(2, 4), -1], (1, 2), table="FullyConnectedOptions")
    return f.content(y)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> Path:
    """An interpreter that runs ``code`` in place of TensorFlow's part, and a source for it."""
    program = folder / "python-with-tensorflow"
    program.write_text(f"#!{sys.executable}\nimport sys\nscript, source, output, shapes, batch = sys.argv[1:]\n{code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(environment.VARIABLE, str(program))
    (folder / "net.keras").write_bytes(b"anything")
    return folder / "net.keras"


def test_what_the_converter_writes_is_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made.tflite").write_bytes(small())
    made = tmp_path / "made.tflite"
    source = stand_in(tmp_path, monkeypatch, f"open(output, 'wb').write(open({str(made)!r}, 'rb').read())\nprint('{{}}')")
    graph = ek.load(source)
    assert graph.name == "net" and str(graph.outputs[0].type) == "float32[N,2]"
    assert "net.keras:0, in FULLY_CONNECTED" in str(graph.nodes[0].where[0])


def less_the_mean(samples: int) -> bytes:
    """A model of the whole batch, as a file for one sample and one for several."""
    f = File()
    x = f.input(samples, 4)
    mean = f.op("MEAN", [x, f.ints(0)], (1, 4), table="ReducerOptions", keep_dims=True)
    return f.content(f.op("SUB", [x, mean], (samples, 4), table="SubOptions"))


def test_a_model_whose_samples_depend_on_each_other_stays_one_for_a_single_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch in (1, 7):
        (tmp_path / f"made.{batch}").write_bytes(less_the_mean(batch))
    made = str(tmp_path / "made.")
    source = stand_in(tmp_path, monkeypatch, f"open(output, 'wb').write(open({made!r} + batch, 'rb').read())\nprint('{{}}')")
    graph = ek.load(source)
    assert str(graph.outputs[0].type) == "float32[1,4]"
    assert graph.notes == ["the batch stays that of the file: samples that run together change each other's outputs"]


def two_outputs() -> bytes:
    """A file whose second output is the model's first."""
    f = File()
    x = f.input(7, 4)
    wide = f.op("FULLY_CONNECTED", [x, f.weight(3, 4), -1], (7, 3), table="FullyConnectedOptions")
    narrow = f.op("FULLY_CONNECTED", [x, f.weight(2, 4), -1], (7, 2), table="FullyConnectedOptions")
    model = read(f.content(wide, narrow))
    signature = Signature("serving_default", {"x": model.main.inputs[0]}, {"output_0": narrow, "output_1": wide})
    return write(replace(model, signatures=(signature,)), names="all")


def test_several_outputs_are_in_the_order_and_have_the_names_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").write_bytes(two_outputs())
    made, told = str(tmp_path / "made"), '{"outputs": ["narrow", "wide"]}'
    source = stand_in(tmp_path, monkeypatch, f"open(output, 'wb').write(open({made!r}, 'rb').read())\nprint({told!r})")
    graph = ek.load(source)
    assert {value.name: str(value.type) for value in graph.outputs} == {"narrow": "float32[N,2]", "wide": "float32[N,3]"}
    x = torch.randn(7, 4)
    with torch.no_grad():
        for own, file in zip(graph.module().eval()(x), graph.source(x), strict=True):
            torch.testing.assert_close(own, file)


def test_outputs_of_other_names_stay_where_they_are() -> None:
    model = read(two_outputs())
    (signature,) = model.signatures
    other = replace(signature, outputs={"a": signature.outputs["output_0"], "output_1": signature.outputs["output_1"]})
    for left, names in ((model, ()), (model, ("one",)), (replace(model, signatures=(other,)), ("b", "c"))):
        assert with_numbered_outputs(left, names) is left
    same = with_numbered_outputs(model, ("b", "b"))
    assert list(same.signatures[0].outputs) == ["output_0", "output_1"] and same.main.outputs == model.main.outputs[::-1]


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        ('print(\'{"error": "flex", "kind": "unsupported", "hint": "cut"}\')', Unsupported, "flex"),
        ('print(\'{"error": "old", "kind": "input", "hint": "save again"}\')', InputError, "save again"),
        ('print(\'{"error": "none", "kind": "missing", "hint": ""}\')', UsageError, "pip install"),
        ("sys.stderr.write('killed by a bug\\n')\nsys.exit(3)", InputError, "ended with code 3: killed by a bug"),
        ("print('{}')", InputError, "ended with code 0"),
        ("print('not JSON')", InputError, "ended with code 0"),
    ],
)
def test_what_goes_wrong_there_is_told(
    code: str, error: type[ek.EdgekitError], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stand_in(tmp_path, monkeypatch, code)
    with pytest.raises(error) as caught:
        ek.load(source)
    assert text in str(caught.value) and "net.keras" in str(caught.value) and caught.value.hint


def test_without_tensorflow_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.h5").write_bytes(b"x")
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as error:
        ek.load(tmp_path / "net.h5")
    assert "edgekit[tensorflow]" in str(error.value) and environment.VARIABLE in str(error.value)
    monkeypatch.setenv(environment.VARIABLE, "/nowhere/python")
    with pytest.raises(UsageError, match="which is no program"):
        ek.load(tmp_path / "net.h5")


def test_the_script_stands_alone() -> None:
    found = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""])
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert found - set(sys.stdlib_module_names) == {"tensorflow", "h5py"}


@pytest.fixture
def script() -> ModuleType:
    """TensorFlow's part, without TensorFlow."""
    spec = importlib.util.spec_from_file_location("tensorflow_convert", SCRIPT)
    assert spec is not None and spec.loader is not None
    before = dict(os.environ)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    os.environ.clear()
    os.environ.update(before)
    return script


def test_a_model_is_called_as_it_was_made(script: ModuleType) -> None:
    a, b = object(), object()
    named = SimpleNamespace(inputs=[a, b], _inputs_struct={"zeta": b, "alpha": a})
    assert script.fed(named, ("first", "second")) == {"zeta": "second", "alpha": "first"}
    assert script.fed(SimpleNamespace(inputs=[a, b]), ("first", "second")) == ["first", "second"]
    assert script.fed(SimpleNamespace(inputs=[a]), ("first",)) == "first"


def test_mixed_precision_is_computed_in_float32(script: ModuleType) -> None:
    mixed = SimpleNamespace(compute_dtype="float16", variable_dtype="float32", dtype_policy="mixed_float16")
    half = SimpleNamespace(compute_dtype="float16", variable_dtype="float16", dtype_policy="float16")
    script.compute_in_float32(SimpleNamespace(_flatten_layers=lambda: [mixed, half, SimpleNamespace()]))
    assert (mixed.dtype_policy, half.dtype_policy) == ("float32", "float16")


def test_short_recurrent_layers_are_written_out_in_both_directions(script: ModuleType) -> None:
    def layer(steps: int | None, **more: object) -> SimpleNamespace:
        return SimpleNamespace(input=SimpleNamespace(shape=(None, steps, 6)), **more)

    short, long, open_ = layer(64, unroll=False), layer(65, unroll=True), layer(None, unroll=False)
    both = layer(10, forward_layer=SimpleNamespace(unroll=False), backward_layer=SimpleNamespace(unroll=False))
    script.unroll(SimpleNamespace(_flatten_layers=lambda: [short, long, open_, both, layer(4)]))
    assert (short.unroll, long.unroll, open_.unroll) == (True, False, False)
    assert both.forward_layer.unroll and both.backward_layer.unroll


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "could not be deserialized.\n\nconfig={}\n\nException encountered: Could not locate class 'Twice'.",
            "Could not locate class",
        ),
        ("in user code:\n\n    File \"a.py\", line 1\n    KeyError: 'alpha'\n", "'alpha'"),
        ("\n  plain text\nmore", "plain text"),
        ("", "ValueError"),
    ],
)
def test_of_a_long_message_the_part_that_says_something_is_told(text: str, says: str, script: ModuleType) -> None:
    assert script.first_line(ValueError(text)).startswith(says)


def test_a_lambda_layer_is_found_wherever_it_stands(script: ModuleType) -> None:
    layer = {"class_name": "Lambda", "config": {"name": "twice", "function": ["4wEAAAA", None, None]}}
    config = {"class_name": "Functional", "config": {"layers": [{"class_name": "TimeDistributed", "config": {"layer": layer}}]}}
    assert list(script.lambdas(config)) == ["twice"]


@pytest.fixture
def tensorflow() -> None:
    if not os.environ.get(environment.VARIABLE) and importlib.util.find_spec("tensorflow") is None:
        pytest.skip(f"{environment.VARIABLE} names no interpreter with TensorFlow")


@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow")
def test_resnet_8_from_keras_is_the_one_from_its_tflite_file(real_data: Path, tmp_path: Path) -> None:
    graph = ek.load(real_data / "models" / "resnet8_cifar10.h5")
    other = ek.load(real_data / "models" / "resnet8_cifar10_fp32.tflite")
    with np.load(real_data / "cifar10.npz") as arrays:
        x = arrays["x_train"][:64].astype(np.float32)
    with torch.no_grad():
        got, wanted = (g.module().eval()(torch.from_numpy(x)) for g in (graph, other))
    assert float((got - wanted).abs().max()) < 1e-4
    built = ek.build(graph, "tflite-int8", calibration=x, output=tmp_path)
    peer = real_data / "models" / "resnet8_cifar10_int8_tf.tflite"
    assert built.artifact.stat().st_size < peer.stat().st_size


#: Makes a convolutional model as .keras and as SavedModel, a recurrent one and one with a Lambda layer, with their outputs.
MODELS = """
import sys
import numpy as np
import tensorflow as tf

K, L, folder = tf.keras, tf.keras.layers, sys.argv[1]
tf.random.set_seed(0)
random = np.random.RandomState(0)
image = K.Input((16, 16, 3), name="image")
x = L.Conv2D(8, 3, strides=2, padding="same")(image)
norm = L.BatchNormalization()
x = L.ReLU()(norm(x))
y = L.Conv2D(8, 1)(L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x))
x = L.Add()([x, y])
z = L.MaxPool2D(3, 2, padding="same")(L.Conv2DTranspose(4, 3, strides=2, padding="same")(x))
x = L.Dense(5, activation="softmax", name="head")(L.Flatten()(L.Concatenate()([x, z])))
model = K.Model(image, x)
norm.set_weights([random.rand(8) + 0.5, random.randn(8), random.randn(8), random.rand(8) + 0.5])
model.save(folder + "/convolutional.keras")
model.export(folder + "/saved", verbose=False)
both = L.Bidirectional(L.LSTM(5, return_sequences=True))
recurrent = K.Sequential([K.Input((12, 6)), both, L.GRU(4), L.Dense(2)])
recurrent.save(folder + "/recurrent.keras")
K.Sequential([K.Input((4,)), L.Lambda(lambda t: t * 2), L.Dense(2)]).save(folder + "/lambda.keras")
for name, made, shape in (("image", model, (5, 16, 16, 3)), ("sequence", recurrent, (5, 12, 6))):
    x = random.randn(*shape).astype("f4")
    np.savez(folder + "/" + name + ".npz", x=x, y=made(x).numpy())
"""


@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow")
def test_keras_models_and_saved_models_compute_what_keras_computes(tmp_path: Path) -> None:
    python = environment.interpreter("test")
    subprocess.run([python, "-c", MODELS, str(tmp_path)], check=True, capture_output=True, timeout=600)
    for source, samples in (("convolutional.keras", "image"), ("saved", "image"), ("recurrent.keras", "sequence")):
        graph = ek.load(tmp_path / source)
        with np.load(tmp_path / f"{samples}.npz") as arrays:
            x, y = arrays["x"], arrays["y"]
        with torch.no_grad():
            got = graph.module().eval()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(got, y, atol=1e-5)
        np.testing.assert_allclose(graph.source(torch.from_numpy(x)).numpy(), y, atol=1e-5)
    with pytest.raises(Unsupported, match="Lambda layers hold Python code, which is not run: lambda"):
        ek.load(tmp_path / "lambda.keras")
