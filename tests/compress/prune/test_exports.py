"""Pruned graphs are graphs like any other: they become files that compute the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import edgekit
from edgekit.compress.gauging.plain import PlainFile
from edgekit.compress.prune import Prune
from edgekit.export.onnx import export as to_onnx
from edgekit.export.tflite.exporter import export as to_tflite
from edgekit.passes.pipeline import DECOMPOSE, EXACT
from tests.compress.prune.masked import largest_difference
from tests.compress.prune.random_graphs import Builder
from tests.compress.prune.structures import STRUCTURES
from tests.compress.prune.test_structures import example, made
from tests.rewrites import random_inputs

NAMES = [
    "inverted residual with squeeze and excite",
    "ShuffleNet units",
    "Conv1d to LSTM",
    "attention block, written out",
    "option A shortcut",
    "slice with a step",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_a_pruned_structure_is_exported(name: str, kind: str, tmp_path: Path) -> None:
    _, graph = made(name)
    small = Prune(ratio=0.5, criterion="l1").apply(graph)
    x = example(STRUCTURES[name], 1)
    with torch.no_grad():
        wanted = small.module().eval()(x)
    ready = small
    for step in (*DECOMPOSE, *EXACT):
        ready, _ = step.run(ready)
    path = tmp_path / f"net.{kind}"
    path.write_bytes(to_tflite(ready) if kind == "tflite" else to_onnx(ready))
    got = torch.as_tensor(edgekit.run(path, x.numpy()))
    assert largest_difference(wanted, got) < 1e-4


@pytest.mark.parametrize("seed", [1038])  # a gate of one channel beside a value that comes in more forms than are followed
def test_a_random_network_is_exported(seed: int, tmp_path: Path) -> None:
    graph = Builder(seed).build()
    path = tmp_path / "net.tflite"
    path.write_bytes(PlainFile(graph, None, None)(graph).content)
    (x,) = random_inputs(graph, batch=1, seed=seed)
    with torch.no_grad():
        wanted = graph.module().eval()(x)
    assert largest_difference(wanted, torch.as_tensor(edgekit.run(path, x.numpy()))) < 1e-4
