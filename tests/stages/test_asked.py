"""What ``[quantization]`` asks for comes out, is refused, or is named in the report: nothing is left aside without a word."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.config import QuantizationSettings
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, QuantParams
from edgekit.ir.text import parse
from edgekit.precision import Fallback, LayerPrecision, PrecisionBudget
from edgekit.stages.asked import unpacked
from edgekit.stages.builds import Build
from edgekit.target import Target
from tests.end_to_end.projects import Project
from tests.train.networks import blobs, digits

Layers = dict[str, LayerPrecision]
IDS = np.random.default_rng(0).integers(0, 90, (16, 5))


class Words(nn.Module):
    """A table, a recurrent layer and two linear ones."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(90, 16)
        self.rnn = nn.LSTM(16, 16, batch_first=True)
        self.wide = nn.Linear(16, 80)
        self.last = nn.Linear(80, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(torch.relu(self.wide(self.rnn(self.embed(ids))[0].mean(1))))
        return y


@cache
def words() -> Graph:
    torch.manual_seed(0)
    return ek.load(Words().eval(), (torch.zeros(2, 5, dtype=torch.long),), name="words")


def build(folder: Path, target: str, graph: Graph | None = None, calibration: object = IDS, **settings: object) -> Build:
    asked = QuantizationSettings(**settings)  # type: ignore[arg-type]
    made: Build = ek.build(graph or words(), target, calibration=calibration, output=folder, quantization=asked)
    return made


@pytest.mark.parametrize(
    ("target", "layers", "what"),
    [
        ("tflite-int8", {"embed": LayerPrecision("int4")}, "'embed' can't have int4 weights, int8 activations"),
        ("tflite-dynamic", {"embed": LayerPrecision("int8")}, "'embed' can't have int8 weights, float32 activations"),
        ("tflite-int8", {"rnn": LayerPrecision(activations="int16")}, "'rnn' can't have int8 weights, int16 activations"),
        ("onnx-int8", {"rnn": LayerPrecision("int4")}, "computes no recurrent layers with int4 weights"),
        ("tflite-int8", {"wide": LayerPrecision("float16")}, "'wide' asks for float16 weights: a file holds all"),
        ("tflite-fp16", {"wide": LayerPrecision("float32")}, "'wide' asks for float32 weights: a file holds all"),
    ],
    ids=["a table in int4", "a table in int8", "states in int16", "states in int4", "half in float", "float in half"],
)
def test_types_that_a_layer_can_not_have_are_refused(tmp_path: Path, target: str, layers: Layers, what: str) -> None:
    with pytest.raises(Unsupported, match=what) as caught:
        build(tmp_path, target, layers=layers)
    assert caught.value.where and caught.value.hint


@pytest.mark.parametrize("target", ["tflite-fp32", "tflite-fp16", "onnx-fp32", "tflite-dynamic"])
def test_a_name_that_the_model_does_not_have_is_an_error_in_float_targets_too(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match="layers names 'wdie', which is no layer") as caught:
        build(tmp_path, target, layers={"wdie": LayerPrecision("float32")})
    assert "wide" in str(caught.value.hint)


def test_weights_wider_than_a_targets_4_bits_are_named_one_by_one(tmp_path: Path) -> None:
    (note,) = [n for n in build(tmp_path, "tflite-w4a8").report.source.notes if "wider than" in n]
    assert note.startswith("3 of 5 weights are wider than the 4 bits of 'tflite-w4a8': embed.weight (gather, int8)")
    assert "rnn.weight_ih_l0 (lstm, int8)" in note and "wide.weight" not in note


@pytest.mark.parametrize("target", ["tflite-w4a8", "onnx-w4a8"])
def test_a_target_of_4_bits_is_refused_where_nothing_is_stored_in_4(tmp_path: Path, target: str) -> None:
    deep = ek.load(nn.Conv2d(3, 3, 3, groups=3).eval(), (torch.zeros(2, 3, 8, 8),))
    x = np.random.default_rng(0).standard_normal((16, 3, 8, 8)).astype(np.float32)
    with pytest.raises(Unsupported, match=f"'{target}' stores nothing of this model in 4 bits: its layers .conv2d.") as caught:
        build(tmp_path, target, deep, x)
    assert f"{target.partition('-')[0]}-int8" in str(caught.value.hint)
    named = build(tmp_path, target, deep, x, layers={"weight": LayerPrecision("int4")})
    assert [row.weights for row in named.report.quantization.precisions.layers] == ["int4"]


@pytest.mark.parametrize("target", ["tflite-dynamic", "tflite-fp16"])
def test_a_target_that_makes_nothing_smaller_says_so(tmp_path: Path, target: str) -> None:
    small = ek.load(nn.Linear(4, 3).eval(), (torch.zeros(2, 4),))
    (note,) = build(tmp_path, target, small, np.ones((4, 4), np.float32)).report.source.notes
    assert note.startswith(f"'{target}' stores all weights of this model in float32")


def test_methods_that_a_float_target_leaves_aside_are_warnings(tmp_path: Path) -> None:
    report = build(tmp_path, "tflite-fp32", observer="mse", rounding="adaround", sensitivity=True).report
    what = "[quantization] observer, rounding, sensitivity have no effect: 'tflite-fp32' calibrates nothing"
    assert report.warnings == (what,)


def test_methods_that_another_target_of_the_build_reads_are_notes(tmp_path: Path) -> None:
    settings = QuantizationSettings(observer="mse")
    builds = ek.build(words(), ["tflite-fp32", "tflite-int8"], calibration=IDS, output=tmp_path, quantization=settings)
    what = "[quantization] observer has no effect: 'tflite-fp32' calibrates nothing"
    assert builds[0].report.warnings == () and what in builds[0].report.source.notes
    assert what not in (*builds[1].report.warnings, *builds[1].report.source.notes)


def test_methods_that_meet_nothing_to_act_on_are_warnings(tmp_path: Path) -> None:
    report = build(tmp_path, "tflite-int16", observer="entropy", pointwise="linear").report
    assert "[quantization] observer has no effect: 16-bit activations cover all that was seen" in report.warnings
    assert "[quantization] pointwise has no effect: no 1x1 convolution has, or may get, 4-bit weights" in report.warnings
    relu = ek.load(nn.ReLU(), (torch.zeros(2, 4),))
    report = build(tmp_path, "tflite-int8", relu, np.random.rand(8, 4).astype(np.float32), rounding="adaround").report
    assert any(line.startswith("[quantization] rounding has no effect") for line in report.warnings)


@cache
def trained(weights: str) -> Graph:
    return ek.QAT(weights=weights, edges=False, epochs=0).apply(digits(), ek.Data(train=blobs()))


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": {"0": LayerPrecision("int4")}},
        {"budget": PrecisionBudget(bytes=5000)},
        {"fallback": Fallback(1.0)},
    ],
    ids=["layers", "budget", "fallback"],
)
def test_types_of_trained_integers_can_not_be_chosen_any_more(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="can change nothing: the step 'qat' trained the integers") as caught:
        build(tmp_path, "tflite-int8", trained("int8"), blobs()[0][:16], **settings)
    assert "step 'qat'" in str(caught.value.hint)


def test_methods_that_trained_integers_leave_aside_are_warnings(tmp_path: Path) -> None:
    report = build(tmp_path, "tflite-int8", trained("int8"), blobs()[0][:16], rounding="adaround", sensitivity=True).report
    assert "[quantization] rounding has no effect: the step 'qat' trained the integers" in report.warnings
    assert report.quantization is not None and report.quantization.sensitivity is not None
    assert report.quantization.sensitivity.layers  # this one has its effect


def test_weights_that_were_trained_in_4_bits_and_are_stored_in_8_are_named(tmp_path: Path) -> None:
    x = blobs()[0][:16]
    (note,) = build(tmp_path, "tflite-int8", trained("int4"), x).report.source.notes
    assert note.startswith("'tflite-int8' stores weights that were trained in fewer bits as 8-bit integers: ")
    assert note.count("(int4)") == sum(v.quant is not None and v.quant.dtype == "int4" for v in trained("int4").constants())
    assert not any("fewer bits" in n for n in build(tmp_path, "tflite-w4a8", trained("int4"), x).report.source.notes)


def test_trained_binary_weights_that_keep_8_bits_are_named() -> None:
    graph = parse("graph g(%x: float32[N,4])\n@fc.weight: float32[3,4] parameter\n%y = linear(%x, @fc.weight)\nreturn %y")
    weight = graph.state["fc.weight"]
    weight.data = nn.Parameter(torch.where(torch.arange(12).reshape(3, 4) % 2 == 0, 0.5, -0.5))
    weight.quant = QuantParams("int8", (0.5 / 127,) * 3, (0,) * 3, 0, narrow=True)
    graph.inputs[0].quant = graph.outputs[0].quant = QuantParams("int8", (0.1,), (0,))
    (note,) = unpacked(graph, Target.load("tflite-binary"))
    assert note.startswith("'tflite-binary' stores binary weights in 8 bits: fc.weight: ")
    assert unpacked(graph, Target.load("tflite-int8")) == ()
    weight.quant = QuantParams("int2", (0.5,) * 3, (0,) * 3, 0, narrow=True)
    assert unpacked(graph, Target.load("tflite-binary")) == ()


def test_a_training_in_4_bits_that_no_layer_would_have_is_refused() -> None:
    with pytest.raises(UsageError, match="no weight would be trained in int4") as caught:
        ek.QAT(weights="int4", epochs=0).apply(ek.load(nn.Linear(4, 3), (torch.zeros(2, 4),)), ek.Data(train=(X4, Y4)))
    assert "edges = false" in str(caught.value.hint)


X4, Y4 = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32), np.zeros(16, np.int64)


def test_the_terminal_names_what_has_no_effect(tmp_path: Path) -> None:
    project = Project(tmp_path)
    layers = "self.conv, self.fc = nn.Conv2d(1, 8, 3), nn.Linear(288, 4)"
    model = project.model(
        f"    def __init__(self):\n        super().__init__()\n        {layers}\n"
        "    def forward(self, x):\n        return self.fc(torch.relu(self.conv(x)).flatten(1))"
    )
    project.write(f'model = "{model}"\ntargets = ["tflite-fp32"]\n[quantization]\nequalize = true\n', "edgekit.toml")
    result = project.build()
    assert result.code == 0 and "warning: [quantization] equalize has no effect: 'tflite-fp32' calibrates nothing" in result.err
