"""The batch varies wherever the model allows it, whatever the example's batch was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from edgekit import InputError
from edgekit.frontend.source import load
from edgekit.ir import N
from tests.frontend.compare import assert_equal, assert_same


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_any_batch_of_the_example_gives_the_same_graph(batch: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 4))
    texts = {load(module, (torch.randn(size, 3, 8, 8),)).text() for size in (1, batch)}
    assert len(texts) == 1 and "float32[N,3,8,8]" in texts.pop()


def test_a_batch_equal_to_another_size_is_not_confused_with_it() -> None:
    graph = assert_same(lambda x: x.reshape(x.shape[0], -1) @ torch.ones(12, 3), torch.randn(3, 3, 4))
    assert graph.inputs[0].shape == (N, 3, 4)


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] > 4 else x


def test_a_model_that_looks_at_its_batch_gets_a_fixed_one_and_the_reason() -> None:
    graph = load(Branch(), (torch.randn(1, 6),))
    assert graph.inputs[0].shape == (1, 6)
    (note,) = graph.notes
    assert note.startswith("the batch is fixed: ")
    module = graph.module()
    x = torch.randn(1, 6)
    assert torch.equal(module(x), x)
    with pytest.raises(ValueError, match=r"float32\[1,6\]"):
        module(torch.randn(8, 6))


TIME_FIRST = [nn.LSTM(8, 6), nn.GRU(8, 6), nn.TransformerEncoderLayer(8, 2, 16)]


@pytest.mark.parametrize("layer", TIME_FIRST, ids=lambda layer: type(layer).__name__)
def test_time_is_not_taken_for_the_batch(layer: nn.Module) -> None:
    graph = load(layer, (torch.randn(7, 1, 8),))
    assert graph.inputs[0].shape == (7, 1, 8)
    assert "over the batch" in graph.notes[-1]
    assert "batch_first=False" in graph.notes[-1] and "batch_axes" in graph.notes[-1]


class Two(nn.Module):
    def forward(self, image: torch.Tensor, table: torch.Tensor, *, states: list[torch.Tensor]) -> Any:
        return image @ table + states[0] + states[1].T


def test_batch_axes_name_inputs_and_leaves_of_inputs() -> None:
    inputs = {
        "image": torch.randn(1, 4),
        "table": torch.randn(4, 3),
        "states": [torch.randn(1, 3), torch.randn(3, 1)],
    }
    graph = load(Two(), inputs, batch_axes={"table": None, "states_1": 1})
    assert [value.shape for value in graph.inputs] == [(N, 4), (4, 3), (N, 3), (3, N)]
    assert [value.name for value in graph.inputs] == ["image", "table", "states_0", "states_1"]
    larger = {"image": torch.randn(5, 4), "table": inputs["table"], "states": [torch.randn(5, 3), torch.randn(3, 5)]}
    assert_equal(graph.module()(**larger), Two()(**larger), 1e-6)


def test_inputs_without_any_batch_stay_as_they_are() -> None:
    graph = load(nn.Linear(6, 3), (torch.randn(1, 6),), batch_axes={"input": None})
    assert graph.inputs[0].shape == (1, 6) and graph.notes == []


@pytest.mark.parametrize(
    ("axes", "message"), [({"inputt": 0}, "'inputt', which is no input"), ({"input": 2}, "has 2 dimensions")]
)
def test_wrong_batch_axes_are_input_errors(axes: dict[str, int | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(nn.Linear(6, 3), (torch.randn(1, 6),), batch_axes=axes)


def test_numbers_and_none_among_the_arguments_are_part_of_the_graph() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, factor: int = 2, bias: torch.Tensor | None = None, mode: str = "a") -> torch.Tensor:
            y = x * factor if mode == "a" else x
            return y if bias is None else y + bias

    x = torch.randn(2, 3)
    run = load(Scaled(), {"x": x, "factor": 3, "bias": None}).module()
    assert torch.equal(run(x=x, factor=3, bias=None), x * 3)
    with pytest.raises(TypeError, match="made for the argument 3"):
        run(x=x, factor=4, bias=None)


def test_arrays_will_do_as_examples() -> None:
    import numpy as np

    graph = load(nn.Linear(6, 3), (np.zeros((1, 6), np.float32),))
    assert graph.inputs[0].shape == (N, 6)
    assert load(nn.Linear(6, 3), torch.zeros(1, 6)).inputs[0].shape == (N, 6)


def test_float64_arrays_are_examples_of_the_models_type() -> None:
    import numpy as np

    assert load(nn.Linear(6, 3), (np.zeros((1, 6)),)).inputs[0].type.dtype == torch.float32
    assert load(nn.Linear(6, 3).double(), (np.zeros((1, 6)),)).inputs[0].type.dtype == torch.float64
