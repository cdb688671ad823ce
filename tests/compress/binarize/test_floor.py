"""Targets of 8 bits judge a binary network as those do that are made for it: signs near their threshold turn round whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.target import Target

torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["tflite-int8", "tflm-int8", "onnx-int8"])
def test_the_floor_of_binary_networks_is_that_of_the_targets_for_them(name: str) -> None:
    own, made_for_it = Target.load(name).parity, Target.load("tflite-binary").parity
    assert own.min_sqnr_db == 10 and own.min_top1_agreement is None
    assert own.binary == made_for_it


def test_the_build_holds_signs_against_it_and_other_networks_against_the_usual_one(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, x = (
        nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 3)),
        torch.randn(64, 6),
    )
    graph = ek.load(model.eval(), (x[:1],))
    signs = ek.Binarize(method="bnn", epochs=0).apply(graph, ek.Data(train=(x.numpy(), x.numpy().argmax(1) % 3)))
    for network, floors in ((graph, (10.0, None)), (signs, (0.0, 0.8))):
        built = ek.build(network, "onnx-int8", calibration=x.numpy(), output=tmp_path)
        row = built.report.verification[0]
        assert (row.floor_db, row.floor_agreement) == floors
