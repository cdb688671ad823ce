"""Equalisation in a build: per-tensor weights of a badly scaled network, run in LiteRT."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import edgekit as ek
from benchmarks.mobile import Mobile, adversarially_scaled
from edgekit.config import QuantizationSettings
from edgekit.ir import Graph
from edgekit.target import targets_folder
from tests import trained


@cache
def network() -> Graph:
    """Trained on the digits for some seconds, then scaled."""
    torch.manual_seed(0)
    x, y, _, _ = trained.digits()
    module = Mobile(8, ((12, 2), (12, 1)), 32, stride=1)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    with torch.enable_grad():
        for _ in range(4):
            for chosen in torch.randperm(len(inputs)).split(64):
                optimizer.zero_grad()
                functional.cross_entropy(module(inputs[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    graph = ek.load(module.eval(), (torch.zeros(2, 1, 8, 8),), name="mobile")
    return adversarially_scaled(graph, 30.0)


@pytest.fixture
def per_tensor(tmp_path: Path) -> Path:
    """A user's own target: that of LiteRT with one scale for each weight."""
    text = (
        (targets_folder() / "tflite-int8.toml").read_text().replace('granularity = "per_channel"', 'granularity = "per_tensor"')
    )
    path = tmp_path / "per-tensor.toml"
    path.write_text(text.replace("min_sqnr_db = 10", "min_sqnr_db = -50"))
    return path


def accuracy(target: Path, folder: Path, settings: QuantizationSettings) -> tuple[float, float, ek.Report]:
    """Top-1 of the source and of the file in LiteRT."""
    x, _, x_test, y_test = trained.digits()
    built = ek.build(
        network(), target=target, calibration=x[:128], evaluate=(x_test, y_test), output=folder, quantization=settings
    )
    (row,) = [row for row in built.report.evaluation if row.metric == "top1"]
    assert row.source is not None and row.artifact is not None
    return row.source, row.artifact, built.report


def test_one_scale_for_a_weight_destroys_a_badly_scaled_network_and_equalisation_restores_it(
    per_tensor: Path, tmp_path: Path
) -> None:
    source, destroyed, report = accuracy(per_tensor, tmp_path / "a", QuantizationSettings())
    assert {layer.weight_scales for layer in report.layers if layer.macs} == {1}
    _, restored, report = accuracy(per_tensor, tmp_path / "b", QuantizationSettings(equalize=True))
    assert {layer.weight_scales for layer in report.layers if layer.macs} == {1}
    assert source > 0.9 and destroyed < source - 0.2 and restored >= source - 0.01
    assert not any("the function was changed" in line for line in report.warnings)
    with pytest.raises(ValueError, match="'absorb_bias' goes with equalize = true"):
        QuantizationSettings(absorb_bias=True)


def test_the_scaled_network_computes_what_it_did() -> None:
    x = torch.from_numpy(trained.digits()[2][:32])
    with torch.no_grad():
        a, b = (graph.module().eval()(x).numpy() for graph in (network(), adversarially_scaled(network(), 100.0, seed=1)))
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(a).max())
