"""Filters of one step along a sequence in integer files: fully connected operators without reshapes, as simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.config import BuildRequest, QuantizationSettings
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph, ops, simulate
from edgekit.precision import LayerPrecision
from edgekit.runtime.artifact import Artifact
from edgekit.stages.artifact import export
from edgekit.stages.feeding import batches
from edgekit.stages.io_types import io_types
from edgekit.stages.precision import Lowered, lower
from edgekit.stages.preprocessing import prepare
from edgekit.stages.sequence_products import NAME
from edgekit.target import Target
from tests.export.tflite.running import op_counts
from tests.tflite_runtimes import run_micro


class FeedForward(nn.Module):
    """Between linear layers that hold (N, L, C), the two filters of a transformer's block."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(12, 16), nn.Linear(16, 5)
        self.wide, self.narrow = nn.Conv1d(16, 32, 1), nn.Conv1d(32, 16, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        y: torch.Tensor = self.narrow(torch.relu(self.wide(x.transpose(1, 2)))).transpose(1, 2)
        z: torch.Tensor = self.out(x + y)
        return z


class Points(nn.Module):
    """A cloud of points: filters of one step from the input to the output."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(12, 16, 1), nn.ReLU(), nn.Conv1d(16, 5, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return y


class Turned(nn.Module):
    """A filter, a linear layer over the channels, a filter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Conv1d(12, 16, 1), nn.Linear(16, 16), nn.Conv1d(16, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.middle(self.first(x).transpose(1, 2))
        z: torch.Tensor = self.last(y.transpose(1, 2))
        return z


class Attentive(nn.Module):
    """A filter of three steps, then attention over the steps with queries, keys and values of one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(12, 16, 3, padding=1)
        self.q, self.k, self.v = nn.Conv1d(16, 8, 1), nn.Conv1d(16, 8, 1), nn.Conv1d(16, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        weights = torch.softmax(self.q(x).transpose(1, 2) @ self.k(x), -1)
        y: torch.Tensor = self.v(x) @ weights.transpose(1, 2)
        return y.mean(2)


class Excited(nn.Module):
    """Filters of three steps and of one, mixed: nothing beside them holds a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.point, self.last = nn.Conv1d(12, 16, 3, padding=1), nn.Conv1d(16, 8, 1), nn.Conv1d(8, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(torch.relu(self.point(torch.relu(self.first(x)))))
        return y


@dataclass(frozen=True)
class Made:
    """A network's file for a target, and what was written."""

    lowered: Lowered
    content: bytes

    @property
    def counts(self) -> dict[str, int]:
        """Operators by kind."""
        return dict(op_counts(self.content))

    def kinds(self, kind: type[ops.Op]) -> int:
        """Nodes with such an op in the graph that was written."""
        return sum(isinstance(node.op, kind) for node in self.lowered.graph.nodes)


def data(graph: Graph) -> np.ndarray[Any, Any]:
    """Samples for a graph's input."""
    shape = (40, *graph.inputs[0].shape[1:])
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@cache
def graph_of(network: Callable[[], nn.Module]) -> Graph:
    torch.manual_seed(0)
    shape = (1, 14, 12) if network is FeedForward else (1, 12, 14)
    return ek.load(network().eval(), example_inputs=(torch.zeros(shape),))


def made(network: Callable[[], nn.Module], target_name: str, size: bool = False, **quantization: object) -> Made:
    graph, target = graph_of(network), Target.load(target_name)
    request = BuildRequest(model="net", root=Path.cwd(), targets=(target.name,), output=Path.cwd())
    settings = QuantizationSettings(observer="min_max", **quantization)  # type: ignore[arg-type]
    request = replace(request, quantization=settings)
    prepared = prepare(graph, {}, bytes_in=())
    types = io_types(graph, target, request, {})
    samples = batches(prepared.taken([data(graph)[:32]]), prepared.graph)
    lowered = lower(prepared, target, samples, request, types, one_of_several=size)
    return Made(lowered, export(lowered.graph, target, request, prepared))


def assert_simulated(file: Made) -> None:
    """The reference kernels give the integers of the simulation."""
    x = data(file.lowered.graph)[32:]
    got = Artifact(file.content, kernels="reference").run(x)
    np.testing.assert_array_equal(got, simulate(file.lowered.graph, torch.from_numpy(x)).float().numpy())


@pytest.mark.parametrize("target", ["tflite-int8", "tflite-int16"])
def test_between_layers_that_hold_a_sequence_there_are_no_reshapes_and_every_integer_is_simulated(target: str) -> None:
    file = made(FeedForward, target)
    assert file.counts == {"FULLY_CONNECTED": 4, "ADD": 1}
    assert_simulated(file)
    (noted,) = [record for record in file.lowered.passes if record.name == NAME]
    assert noted.rewrites == 2
    assert {"wide.weight", "narrow.weight"} <= set(file.lowered.graph.state)
    assert file.kinds(ops.Permute) == 4  # two of the source, two around both layers
    assert any(node.name == "narrow" and isinstance(node.op, ops.Linear) for node in file.lowered.graph.nodes)


def test_inputs_and_outputs_keep_the_layout_that_filters_give_them() -> None:
    for network, operators in ((Points, {"FULLY_CONNECTED": 2}), (Turned, {"FULLY_CONNECTED": 3})):
        whole, plain = made(network, "tflite-int8"), made(network, "tflite-fp32")
        assert whole.counts == plain.counts == operators
        for file in (whole, plain):
            main = read(file.content).main
            assert [main.tensors[i].shape for i in (*main.inputs, *main.outputs)] == [(1, 14, 12), (1, 14, 5)]
        assert_simulated(whole)


def test_readers_that_want_a_sequence_share_one_reshape() -> None:
    file = made(Attentive, "tflite-int8")
    assert file.counts["FULLY_CONNECTED"] == 3 and file.counts["RESHAPE"] == 2  # into the first filter, and out of it
    assert_simulated(file)


def test_where_no_neighbour_holds_a_sequence_a_filter_stays_a_convolution() -> None:
    file = made(Excited, "tflite-int8")
    assert file.kinds(ops.Linear) == 0 and file.counts == {"CONV_2D": 3, "RESHAPE": 2}
    assert_simulated(file)


def test_4_bit_weights_become_linear_layers_only_where_that_is_asked_for() -> None:
    assert made(FeedForward, "tflite-w4a8").counts["CONV_2D"] == 2
    asked = made(FeedForward, "tflite-w4a8", pointwise="linear")
    assert asked.counts == {"FULLY_CONNECTED": 4, "ADD": 1}
    assert_simulated(asked)


def test_micro_controllers_keep_the_scale_for_each_channel_that_a_convolution_has() -> None:
    file = made(FeedForward, "tflm-int8")
    assert file.counts["CONV_2D"] == 2
    per_channel = [node.input(1).quant for node in file.lowered.graph.nodes if isinstance(node.op, ops.Conv1d)]
    assert all(quant is not None and quant.per_channel for quant in per_channel)
    assert_simulated(file)
    reference = Artifact(file.content, kernels="reference")
    calls = [reference.stored(x[None]) for x in data(file.lowered.graph)[32:36]]
    (got,) = run_micro(file.content, calls)
    (expected,) = (np.stack(outputs) for outputs in zip(*map(reference.call, calls), strict=True))
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


def test_onnx_files_keep_convolutions() -> None:
    assert made(FeedForward, "onnx-int8").kinds(ops.Conv1d) == 2


def test_sizes_of_one_network_keep_convolutions_whose_weights_they_share() -> None:
    assert made(FeedForward, "tflite-int8", size=True).kinds(ops.Conv1d) == 2


def test_a_filter_that_stays_float_is_written_as_a_product_by_itself() -> None:
    layers = {"wide": LayerPrecision("float32", "float32")}
    file = made(FeedForward, "tflite-int8", layers=layers)
    assert file.counts["FULLY_CONNECTED"] == 4 and file.kinds(ops.Conv1d) == 1
