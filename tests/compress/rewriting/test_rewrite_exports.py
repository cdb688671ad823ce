"""Rewritten graphs are graphs like any other: they become files that compute the same, and ResNet-20 stays what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgekit
from edgekit.compress.low_rank import LowRank
from edgekit.compress.separable import Separable
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.ir.file import load as load_file
from edgekit.ir.file import save
from tests.compress.prune.masked import largest_difference
from tests.compress.rewriting.networks import CONVOLUTIONS, cnn, conv_graph, outputs
from tests.real_networks import cifar10, resnet20
from tests.rewrites import random_inputs

torch.set_num_threads(1)

STEPS = {
    "separable": Separable(multiplier=2, allow_dearer=True),
    "separable, multiplier": Separable(multiplier=2, copies=False, allow_dearer=True),
    "separable, norm and relu": Separable(multiplier=1, between="bn_relu6", allow_dearer=True),
    "svd": LowRank(rank=3, method="svd", allow_dearer=True),
    "tucker2": LowRank(rank=3, method="tucker2", allow_dearer=True),
    "spatial_svd": LowRank(rank=3, method="spatial_svd", allow_dearer=True),
}
KINDS = ["one stride", "dilations", "asymmetric padding", "all at once", "1-D, all at once"]


def files_agree(graph: Graph, x: np.ndarray[Any, Any], folder: Path, targets: list[str]) -> None:
    """Every target's file gives the graph's outputs; int8 as nearly as eight bits do."""
    wanted = outputs(graph, torch.from_numpy(x))
    built = edgekit.build(graph, target=targets, calibration=x, output=folder, name="net")
    for target, one in zip(targets, built, strict=True):
        got = torch.as_tensor(edgekit.run(one.artifact, x))
        if target.endswith("int8"):
            noise = (got - wanted).norm() / wanted.norm()
            assert noise < 0.1, f"{target}: {noise}"
        else:
            assert largest_difference(wanted, got) < 1e-4, target


@pytest.mark.parametrize("name", STEPS)
def test_rewritten_convolutions_of_every_kind_become_float_files(name: str, tmp_path: Path) -> None:
    from edgekit.export.onnx import export as to_onnx
    from edgekit.export.tflite.exporter import export as to_tflite
    from edgekit.passes.pipeline import DECOMPOSE, EXACT

    for kind in KINDS:
        small = STEPS[name].apply(conv_graph(kind))
        assert CONVOLUTIONS[kind]
        (x,) = random_inputs(small, 1)
        wanted = outputs(small, x)
        for step in (*DECOMPOSE, *EXACT):
            small, _ = step.run(small)
        for suffix, write in (("tflite", to_tflite), ("onnx", to_onnx)):
            path = tmp_path / f"net.{suffix}"
            path.write_bytes(write(small))
            got = torch.as_tensor(edgekit.run(path, x.numpy()))
            assert largest_difference(wanted, got) < 1e-4, (kind, suffix)


@pytest.mark.parametrize("name", STEPS)
def test_rewritten_networks_are_built_for_every_target(name: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(32, 3, 8, 8)).astype(np.float32)
    small = STEPS[name].apply(cnn(), x)
    files_agree(small, x, tmp_path, ["tflite-fp32", "tflite-int8", "onnx-fp32"])


def test_a_rewritten_graph_is_saved_with_its_record(tmp_path: Path) -> None:
    x = torch.randn(32, 3, 8, 8)
    small = Separable(multiplier=1, between="bn", refit=True).apply(cnn(), x.numpy())
    save(small, tmp_path / "small.ekg")
    again = load_file(tmp_path / "small.ekg")
    assert again.history == small.history
    assert torch.equal(outputs(again, x), outputs(small, x))


@pytest.fixture(scope="module")
def network(real_data: Path) -> Graph:
    return load(resnet20(real_data), (torch.zeros(1, 3, 32, 32),))


@pytest.mark.parametrize(
    "step",
    [
        Separable(multiplier=9, allow_dearer=True),
        Separable(multiplier=9, copies=False, allow_dearer=True),
        LowRank(rank=9999, method="svd", allow_dearer=True),
        LowRank(rank=9999, method="tucker2", allow_dearer=True),
        LowRank(rank=9999, method="spatial_svd", allow_dearer=True),
    ],
    ids=lambda step: getattr(step, "method", f"separable copies={getattr(step, 'copies', None)}"),
)
def test_full_rank_leaves_resnet20_as_it_was(step: Separable | LowRank, network: Graph, real_data: Path) -> None:
    small = step.apply(network)
    assert len(small.history[-1].details["layers"]) >= 19
    x = torch.from_numpy(cifar10(real_data, "test", slice(0, 16))[0])
    assert largest_difference(outputs(network, x), outputs(small, x)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("step", [Separable, LowRank])
def test_resnet20_keeps_its_labels_at_six_tenths_of_its_macs(
    step: type[Separable] | type[LowRank], network: Graph, real_data: Path
) -> None:
    calibration, _ = cifar10(real_data, "train", slice(0, 192))
    x, labels = cifar10(real_data, "test", slice(0, 300))
    small = step(macs=0.6, judge="weights", refit=True).apply(network, calibration)
    control = step(macs=0.6, judge="weights", init="random", reestimate=True).apply(network, calibration)
    right = [float((outputs(g, torch.from_numpy(x)).argmax(1).numpy() == labels).mean()) for g in (network, small, control)]
    assert small.macs <= 0.6 * network.macs
    assert right[1] > right[0] - 0.05 and right[2] < 0.3
