"""Trained networks and real data through `ek.build`: accuracy, structure and size, with figures that must not get worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.metrics import max_abs_error, sqnr_db, top1_agreement
from edgekit.stages.verify import with_logits
from tests import real_networks

#: Most ops, most bytes, least signal to noise of the logits in dB: int8 of MLPerf Tiny's networks with TensorFlow's padding.
TINY = {
    "resnet8": (16, 86_200, 31.0),
    "dscnn": (13, 33_000, 24.5),
    "mbv1_025": (31, 252_800, 24.5),
    "fcae": (10, 276_976, 36.0),
}


def float_outputs(model: torch.nn.Module, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return np.concatenate([model(part).numpy() for part in torch.from_numpy(x).split(256)])


def test_resnet20_in_float_gives_the_sources_predictions(real_data: Path, tmp_path: Path) -> None:
    model = real_networks.resnet20(real_data)
    x, _ = real_networks.cifar10(real_data, "test", slice(256))
    wanted = float_outputs(model, x)
    builds = ek.build(model, ["tflite-fp32", "onnx-fp32"], example_inputs=torch.zeros(1, 3, 32, 32), output=tmp_path)
    for build in builds:
        got = ek.run(build.artifact, x)
        assert top1_agreement(wanted, got) == 1.0 and max_abs_error(wanted, got) <= 1e-4
    (operators,) = [b.report.artifact.operators for b in builds if b.target == "tflite-fp32"]
    assert sum(operators.values()) <= 36 and "TRANSPOSE" not in operators


def test_resnet20_in_8_bits_is_above_30_5_decibels(real_data: Path, tmp_path: Path) -> None:
    model = real_networks.resnet20(real_data)
    calibration, _ = real_networks.cifar10(real_data, "train", slice(0, 15000, 118))
    x, labels = real_networks.cifar10(real_data, "test", slice(0, 5000, 10))
    wanted = float_outputs(model, x)
    example = torch.zeros(1, 3, 32, 32)
    build = ek.build(model, "tflite-int8", example_inputs=example, calibration=calibration, output=tmp_path)
    got = ek.run(build.artifact, x)
    assert sqnr_db(wanted, got) >= 30.5
    assert top1_agreement(wanted, got) >= 0.985
    accuracy = [(y.argmax(1) == labels).mean() for y in (wanted, got)]
    assert abs(accuracy[0] - accuracy[1]) <= 0.01
    tflite = build.report
    assert tflite.artifact.bytes <= 286_500 and sum(tflite.artifact.operators.values()) <= 36
    assert "TRANSPOSE" not in tflite.artifact.operators
    (row,) = [row for row in tflite.verification if row.against == "simulation"]
    assert row.equal_integers is not None and row.equal_integers >= 0.99


@pytest.mark.slow
def test_resnet20_in_8_bits_on_the_whole_test_set_and_three_draws_of_calibration_images(
    real_data: Path, tmp_path: Path
) -> None:
    """Means of three draws of 256 training images: 30.5 dB, 99.15 % of the source's predictions, top-1 within 0.3 points."""
    model = real_networks.resnet20(real_data)
    x, labels = real_networks.cifar10(real_data, "test")
    wanted = float_outputs(model, x)
    figures: dict[str, list[tuple[float, float, float]]] = {"tflite-int8": [], "onnx-int8": []}
    for seed in range(3):
        chosen = np.sort(np.random.default_rng(seed).choice(15000, 256, replace=False))
        calibration, _ = real_networks.cifar10(real_data, "train", chosen)
        for build in ek.build(
            model,
            list(figures),
            example_inputs=torch.zeros(1, 3, 32, 32),
            calibration=calibration,
            output=tmp_path / str(seed),
        ):
            got = ek.run(build.artifact, x)
            lost = float((wanted.argmax(1) == labels).mean() - (got.argmax(1) == labels).mean())
            figures[build.target].append((sqnr_db(wanted, got), top1_agreement(wanted, got), lost))
    for target, rows in figures.items():
        sqnr, agreement, lost = np.mean(rows, axis=0)
        assert sqnr >= 30.5 and agreement >= 0.9915 and abs(lost) <= 0.003, (target, rows)


@pytest.mark.parametrize("name", ["resnet8", "dscnn", "fcae", pytest.param("mbv1_025", marks=pytest.mark.slow)])
def test_mlperf_tiny_in_8_bits_is_small_simple_and_accurate(name: str, real_data: Path, tmp_path: Path) -> None:
    zoo = real_networks.mlperf_tiny(real_data)
    ops, size, floor = TINY[name]
    model, shape = real_networks.tiny_network(zoo, name)
    calibration, x = zoo.data(name, 64, 1).numpy(), zoo.data(name, 128, 2).numpy()
    build = ek.build(
        model, "tflite-int8", example_inputs=torch.zeros(1, *shape), calibration=calibration, output=tmp_path, name=name
    )
    operators = build.report.artifact.operators
    assert sum(operators.values()) <= ops and not {"TRANSPOSE", "PAD", "QUANTIZE", "DEQUANTIZE"} & set(operators)
    assert build.artifact.stat().st_size == build.report.artifact.bytes <= size

    # The figure is of the logits, so the same network without its softmax is built beside it.
    graph = with_logits(ek.load(model, torch.zeros(1, *shape)))
    logits = ek.build(graph, "tflite-int8", calibration=calibration, output=tmp_path / "logits")
    with torch.no_grad():
        wanted = graph.module().eval().run([torch.from_numpy(x)])[0].numpy()
    assert sqnr_db(wanted, ek.run(logits.artifact, x)) >= floor


def test_the_autoencoder_for_micro_controllers_is_smaller_still(real_data: Path, tmp_path: Path) -> None:
    zoo = real_networks.mlperf_tiny(real_data)
    model, shape = real_networks.tiny_network(zoo, "fcae")
    calibration = zoo.data("fcae", 64, 1).numpy()
    build = ek.build(model, "tflm-int8", example_inputs=torch.zeros(1, *shape), calibration=calibration, output=tmp_path)
    assert build.artifact.stat().st_size <= 274_100


def test_torch_padding_costs_a_pad_per_strided_convolution_and_nothing_else(real_data: Path, tmp_path: Path) -> None:
    zoo = real_networks.mlperf_tiny(real_data)
    model, shape = real_networks.tiny_network(zoo, "resnet8", pad="torch")
    calibration = zoo.data("resnet8", 32, 1).numpy()
    build = ek.build(model, "tflite-int8", example_inputs=torch.zeros(1, *shape), calibration=calibration, output=tmp_path)
    operators = dict(build.report.artifact.operators)
    strided = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.stride != (1, 1) and any(m.padding)]
    assert operators.pop("PAD") <= len(strided)
    assert not {"TRANSPOSE", "QUANTIZE", "DEQUANTIZE"} & set(operators)
