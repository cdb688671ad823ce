"""A build whose layers' precisions are named, chosen for a budget, or fall back to float; and what its report says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.config import QuantizationSettings, request_from_config
from edgekit.errors import ConfigError, OverBudget, Unsupported, UsageError
from edgekit.precision import Fallback, LayerPrecision, PrecisionBudget
from edgekit.stages.builds import Build


class Net(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.deep = nn.Conv2d(8, 8, 3, groups=8)
        self.point = nn.Conv2d(8, 8, 1)
        self.wide = nn.Conv2d(8, 32, 3)
        self.fc = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.wide(torch.relu(self.point(torch.relu(self.deep(torch.relu(self.first(x))))))))
        y: torch.Tensor = self.fc(x.mean((2, 3)))
        return y


def build(folder: Path, settings: QuantizationSettings, target: str = "tflite-int8", *, labels: bool = True) -> Build:
    torch.manual_seed(0)
    graph = ek.load(Net().eval(), example_inputs=(torch.zeros(1, 3, 10, 10),))
    x = np.random.default_rng(0).standard_normal((64, 3, 10, 10)).astype(np.float32)
    y = graph.module().eval().run([torch.from_numpy(x)])[0].argmax(1).numpy()
    np.savez(folder / "data.npz", x=x, y=y)
    evaluate = folder / "data.npz" if labels else None
    result: Build = ek.build(graph, target, calibration=x, evaluate=evaluate, output=folder, quantization=settings)
    return result


def settings(layers: dict[str, LayerPrecision] | None = None, **others: object) -> QuantizationSettings:
    return QuantizationSettings(observer="min_max", layers=layers or {}, **others)  # type: ignore[arg-type]


def weights_of(result: Build) -> dict[str, str]:
    info = result.report.quantization
    assert info is not None and info.precisions is not None
    return {row.layer: row.weights for row in info.precisions.layers}


def test_layers_that_the_config_names_have_their_own_precision(tmp_path: Path) -> None:
    result = build(tmp_path, settings({"wide": LayerPrecision("int4")}))
    assert weights_of(result) == {
        "first.weight": "int8",
        "deep.weight": "int8",
        "point.weight": "int8",
        "wide.weight": "int4",
        "fc.weight": "int8",
    }
    info = result.report.quantization
    assert info is not None and info.precisions is not None and info.precisions.slower == 1
    priced = next(row for row in info.precisions.layers if row.layer == "wide.weight")
    assert priced.bytes < priced.int8_bytes and priced.slowdown is not None and priced.slowdown > 1.05
    simulated = next(row for row in result.report.verification if row.against == "simulation")
    assert simulated.equal_integers == 1.0


def test_a_budget_of_bytes_chooses_and_says_what_it_was_chosen_for(tmp_path: Path) -> None:
    result = build(tmp_path, settings(budget=PrecisionBudget(bytes=2600), allow_slower=True))
    info = result.report.quantization
    assert info is not None and info.precisions is not None
    assert info.precisions.asked == "at most 2,600 bytes"
    assert sum(row.bytes for row in info.precisions.layers) <= 2600
    assert "int4" in weights_of(result).values()


def test_pointwise_convolutions_become_linear_layers_where_that_is_asked_for(tmp_path: Path) -> None:
    layers = {"point": LayerPrecision("int4")}
    plain = build(tmp_path, settings(layers), labels=False)
    linear = build(tmp_path, settings(layers, pointwise="linear"), labels=False)
    assert plain.report.artifact is not None and linear.report.artifact is not None
    assert linear.report.artifact.operators["FULLY_CONNECTED"] == plain.report.artifact.operators["FULLY_CONNECTED"] + 1
    assert "TRANSPOSE" not in linear.report.artifact.operators
    assert weights_of(linear)["point.weight"] == "int4"


def test_a_fall_back_to_float_is_judged_by_the_metric(tmp_path: Path) -> None:
    result = build(tmp_path, settings(fallback=Fallback(100.0)), "tflite-w4a8")
    assert set(weights_of(result).values()) == {"int4", "int8"}  # depthwise stays int8


def test_a_drop_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a metric"):
        build(tmp_path, settings(budget=PrecisionBudget(max_drop=1.0)), labels=False)


@pytest.mark.parametrize(
    ("target", "precision", "weights"),
    [
        ("tflite-dynamic", LayerPrecision("int8", "int8"), 1),
        ("tflite-dynamic", LayerPrecision("float32"), 0),
        ("tflite-dynamic", LayerPrecision("int4"), 1),
        ("onnx-fp16", LayerPrecision("int8", "float32"), 1),
    ],
    ids=str,
)
def test_a_layer_differs_from_a_float_target(tmp_path: Path, target: str, precision: LayerPrecision, weights: int) -> None:
    result = build(tmp_path, settings({"wide": precision}), target, labels=False)
    wide = next(layer for layer in result.report.layers if "wide" in layer.module)
    assert (wide.weight_scales > 0) == bool(weights)
    assert result.report.status == "good"


def test_a_target_without_integer_activations_has_nothing_to_choose(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'tflite-dynamic' computes in float"):
        build(tmp_path, settings(budget=PrecisionBudget(bytes=5000)), "tflite-dynamic")


def test_a_budget_that_only_slower_layers_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OverBudget, match="no choice of precisions"):
        build(tmp_path, settings(budget=PrecisionBudget(bytes=2600)))


@pytest.mark.parametrize("activations", ["int16", "float32"])
def test_what_the_runtime_computes_wrongly_or_not_at_all_is_refused_by_name(tmp_path: Path, activations: str) -> None:
    layers = {"deep": LayerPrecision("int4", activations)}  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="LiteRT computes no depthwise convolutions with int4 weights") as caught:
        build(tmp_path, settings(layers))
    assert "deep" in str(caught.value.where) and '"deep" = { weights = "int8" }' in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("budget = { bytes = 5, max_drop = 1.0 }", "'budget' is one of"),
        ("allow_slower = true", "'allow_slower' goes with 'budget'"),
        ("budget = { bytes = 5 }\nfallback = { max_drop = 1 }", "two ways to choose"),
        ('layers = { fc = { weights = "int3" } }', "must be one of"),
        ('layers = { fc = { weights = "float32", activations = "int8" } }', "need integer weights"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "edgekit.toml").write_text(f'model = "net.ekg"\n[quantization]\n{text}\n')
    with pytest.raises(ConfigError, match=what):
        request_from_config(tmp_path / "edgekit.toml")


def test_the_config_is_plain_data(tmp_path: Path) -> None:
    text = 'budget = { min_sqnr_db = 20 }\nlayers = { "block.fc" = { activations = "int16" } }'
    (tmp_path / "edgekit.toml").write_text(f'model = "net.ekg"\n[quantization]\n{text}\n')
    found = request_from_config(tmp_path / "edgekit.toml").quantization
    assert found.budget == PrecisionBudget(min_sqnr_db=20.0)
    assert found.layers == {"block.fc": LayerPrecision(activations="int16")}
