"""Names of the file come along; its float initialisers are trainable parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.export.onnx import export
from tests.frontend.onnx.models import array, assert_as_in_runtime, load, model, node, rand, save


def network() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(8 * 16, 5)).eval()


def test_a_file_of_edgekits_own_gives_the_state_dict_of_the_source(tmp_path: Path) -> None:
    source = network()
    path = tmp_path / "net.onnx"
    path.write_bytes(export(ek.load(source, (rand(2, 3, 8, 8),))))
    graph = ek.load(path)
    module = graph.module()
    wanted = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    assert set(module.state_dict()) == set(wanted)
    assert {name for name, _ in module.named_parameters()} == {name for name, _ in source.named_parameters()}
    assert {name for name, _ in module.named_buffers()} >= {"0.1.running_mean", "0.1.running_var"}
    x = rand(4, 3, 8, 8)
    torch.testing.assert_close(module.eval()(x), source(x))
    assert graph.name == "net"


def test_an_imported_network_trains() -> None:
    proto = model(
        [node("Conv", ["x", "w", "b"], ["c"], name="features/conv"), node("Relu", ["c"], ["y"])],
        {"x": ["n", 3, 8, 8]},
        ["y"],
        {"w": array(4, 3, 3, 3), "b": array(4)},
    )
    module = load(proto).module().train()
    before = module.get_parameter("w").detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(rand(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, module.get_parameter("w"))


def test_values_and_nodes_are_called_as_in_the_file() -> None:
    proto = model(
        [node("Relu", ["x"], ["/act/Relu_output_0"], name="/act/Relu"), node("Neg", ["/act/Relu_output_0"], ["y"])],
        {"x": ["n", 4]},
        ["y"],
    )
    graph = load(proto)
    assert [item.name for item in graph.nodes] == ["/act/Relu_output_0", "y"]
    assert [str(item.where[0]) for item in graph.nodes] == ["/act/Relu", "y"]


def test_a_transposed_weight_keeps_its_name_and_stays_trainable() -> None:
    proto = model(
        [
            node("Transpose", ["dense.kernel"], ["t"], perm=[1, 0]),
            node("MatMul", ["x", "t"], ["m"]),
            node("Add", ["m", "dense.bias"], ["y"]),
        ],
        {"x": ["n", 4]},
        ["y"],
        {"dense.kernel": array(3, 4), "dense.bias": array(3)},
    )
    graph = assert_as_in_runtime(proto, rand(2, 4))
    assert set(graph.state) == {"dense.kernel", "dense.bias"} and graph.parameters == 15


@pytest.mark.parametrize(
    "name", ["a b", "onnx::Conv_12", "training", "forward", "x.y", "graph", ".weight", "edgekit_constants"]
)
def test_any_name_of_an_initialiser_becomes_a_parameter(name: str) -> None:
    proto = model(
        [node("Mul", ["x", name], ["m"]), node("Add", ["m", f"{name}.bias"], ["y"])],
        {"x": ["n", 4]},
        ["y"],
        {name: array(4), f"{name}.bias": array(4)},
    )
    graph = assert_as_in_runtime(proto, rand(2, 4))
    assert len(dict(graph.module().named_parameters())) == 2


def test_numbers_and_statistics_are_not_trained() -> None:
    proto = model(
        [
            node("Mul", ["x", "half"], ["m"]),
            node("BatchNormalization", ["m", "scale", "b", "mean", "var"], ["y"]),
        ],
        {"x": ["n", 4, 3]},
        ["y"],
        {
            "half": np.float32(0.5),
            "scale": array(4),
            "b": array(4),
            "mean": array(4),
            "var": np.abs(array(4)) + 1,
        },
    )
    graph = assert_as_in_runtime(proto, rand(2, 4, 3))
    module = graph.module()
    assert {name for name, _ in module.named_parameters()} == {"scale", "b"}
    assert set(module.state_dict()) == {"scale", "b", "mean", "var"}


def test_initialisers_that_are_listed_as_inputs_are_initialisers() -> None:
    """As files of format version 3 have them."""
    proto = model([node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4], "w": [4, 2]}, ["y"], {"w": array(4, 2)})
    graph = load(proto)
    assert [value.name for value in graph.inputs] == ["x"] and set(graph.state) == {"w"}


def test_weights_of_a_checkpoint_go_into_the_graph(tmp_path: Path) -> None:
    proto = model([node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 4]}, ["y"], {"w": array(4, 2)})
    path = save(proto, tmp_path)
    graph = ek.load(path)
    other = {name: value + 1 for name, value in graph.module().state_dict().items()}
    torch.save(other, tmp_path / "w.pt")
    again = ek.load(path, weights=tmp_path / "w.pt")
    torch.testing.assert_close(again.module().state_dict()["w"], other["w"])
