"""Values are called by the modules they come from, and every node knows the user's line."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from edgekit.frontend.source import load

X = torch.randn(2, 3, 8, 8)


def helper(x: torch.Tensor) -> torch.Tensor:
    return F.hardswish(x)  # the line of the hardswish


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.conv1(x))
        y = self.relu(self.conv1(y))
        return self.pool(helper(y) + x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Block())
        self.fc = nn.Linear(48, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.fc(self.layer1(image)), 1)


def test_the_output_of_a_module_has_its_path_and_a_second_call_a_number() -> None:
    graph = load(Net(), (X,))
    assert [node.name for node in graph.nodes] == [
        "layer1.0.conv1",
        "layer1.0.relu",
        "layer1.0.conv1_1",
        "layer1.0.relu_1",
        "layer1.0.hardswish",
        "layer1.0.add",
        "layer1.0.pool.0",
        "layer1.0.pool.1",
        "fc",
        "log_softmax",
    ]
    assert [value.name for value in graph.inputs] == ["image"]
    assert graph.name == "Net"


def test_an_op_that_ends_a_modules_forward_has_the_modules_name() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(self.conv(x) + x)

    graph = load(nn.Sequential(Residual(), Residual()), (X,))
    assert [node.name for node in graph.nodes] == ["0.conv", "0.add", "0", "1.conv", "1.add", "1"]


def test_every_node_knows_module_file_line_and_function() -> None:
    graph = load(Net(), (X,))
    for node in graph.nodes:
        (where,) = node.where
        assert where.file.endswith("test_names_and_places.py") and where.line > 0
    hardswish = next(node for node in graph.nodes if node.op.name == "hardswish")
    (where,) = hardswish.where
    assert where.module == "layer1.0" and where.function == "helper"
    assert "the line of the hardswish" in Path(__file__).read_text().splitlines()[where.line - 1]


def test_layers_of_a_plain_sequential_know_their_path_only() -> None:
    graph = load(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), (X,))
    assert [str(node.where[0]) for node in graph.nodes] == ["0", "1"]


def test_parameters_and_values_never_share_a_name() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add = nn.Parameter(torch.ones(3, 1, 1))
            self.x = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.x(x) + self.add

    graph = load(Clash(), (X,))
    graph.verify()
    assert "add" in graph.state and graph.inputs[0].name == "x"
    assert [node.name for node in graph.nodes] == ["x_1", "add_1"]
