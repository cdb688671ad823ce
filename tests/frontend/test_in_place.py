"""In-place changes show in every view of the tensor, as in the source, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Unsupported
from edgekit.frontend.source import load
from tests.frontend.compare import as_module, assert_same

X = torch.randn(2, 6)


def select(x: torch.Tensor) -> Any:
    y = x * 1
    y[:, 0].mul_(2)
    return y


def slice_of_a_view(x: torch.Tensor) -> Any:
    y = x * 1
    z = y.view(-1, 2, 3)
    z[:, 1] += 1
    return y, z


def assignments(x: torch.Tensor) -> Any:
    y = x * 1
    y[:, 1:3] = 0
    y[:, 3] = x[:, 0]
    y[:, -1:] = x[:, :1] * 3
    return y


def into_zeros(x: torch.Tensor) -> Any:
    y = torch.zeros(x.shape[0], 6)
    y[:, 2:4] = x[:, :2]
    return y


def into_empty(x: torch.Tensor) -> Any:
    y = torch.empty(x.shape[0], 2, 3)
    for i in range(2):
        y[:, i] = x[:, i * 3 : i * 3 + 3]
    return y


def chunks(x: torch.Tensor) -> Any:
    y = x * 1
    p, q = y.chunk(2, 1)
    p.relu_()
    q.add_(3)
    return y, p, q


def unbound(x: torch.Tensor) -> Any:
    y = x * 1
    parts = y.unbind(1)
    parts[2].add_(1)
    return y, parts[2], parts[3]


def transposed(x: torch.Tensor) -> Any:
    y = x * 1
    y.t()[2] = 5.0
    y.view(-1, 2, 3).permute(2, 0, 1)[1].neg_()
    return y


def view_taken_before(x: torch.Tensor) -> Any:
    y = x * 1
    first = y[:, 0]
    y.add_(1)
    seen = first * 2
    first.add_(5)
    return y, seen, first


def relu_of_a_kept_tensor(x: torch.Tensor) -> Any:
    y = x * 1
    z = F.relu_(y)
    return y + z


def chain(x: torch.Tensor) -> Any:
    y = x * 1
    y.clamp_(0, 1).mul_(2).sub_(0.1)
    y /= 3
    y **= 2
    return y


def filled(x: torch.Tensor) -> Any:
    y, z = x * 1, x * 1
    y.copy_(x[:, :1])
    z.fill_(3).zero_()
    return y, z


def masked(x: torch.Tensor) -> Any:
    y, z = x * 1, x * 1
    y.masked_fill_(x > 0, 9.0)
    z[x < 0] = 0
    return y, z


def indexed(x: torch.Tensor) -> Any:
    y = x * 1
    return y.index_fill_(1, torch.tensor([0, 3]), 1.0)


def constants(x: torch.Tensor) -> Any:
    mask = torch.zeros(6)
    mask[2] = 1
    mask[3:].add_(0.5)
    return x * mask


FUNCTIONS: list[Callable[[torch.Tensor], Any]] = [
    select,
    slice_of_a_view,
    assignments,
    into_zeros,
    into_empty,
    chunks,
    unbound,
    transposed,
    view_taken_before,
    relu_of_a_kept_tensor,
    chain,
    filled,
    masked,
    indexed,
    constants,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_change_shows_wherever_the_source_shows_it(function: Callable[[torch.Tensor], Any]) -> None:
    assert_same(function, X, gradients=False)


def test_an_input_that_is_changed_is_changed_in_the_graph_only() -> None:
    def change(x: torch.Tensor) -> torch.Tensor:
        x += 1
        return x * 2

    graph = assert_same(change, X, gradients=False)
    assert any("changes its input" in note for note in graph.notes)
    mine = X.clone()
    graph.module()(mine)
    assert torch.equal(mine, X)


class Counter(nn.Module):
    """Counts its calls; the result may or may not depend on the count."""

    count: torch.Tensor

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.reads = reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x * self.count if self.reads else x * 2


def test_a_counter_that_nobody_reads_is_dropped_and_said() -> None:
    module = Counter(reads=False)
    graph = load(module, (X,))
    assert any("'count'" in note for note in graph.notes)
    assert module.count == 0


def test_state_between_calls_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="keeps state between calls: it writes 'count'"):
        load(Counter(reads=True), (X,))


def test_state_in_a_plain_attribute_is_refused_by_name() -> None:
    class Smoothed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean = torch.zeros(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mean = self.mean * 0.9 + x.mean(0)
            return x - self.mean

    module = Smoothed()
    with pytest.raises(Unsupported, match="keeps state between calls: it writes 'mean'"):
        load(module, (X,))
    assert type(module.mean) is torch.Tensor


def test_state_that_begins_as_none_is_said() -> None:
    class Delayed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            before = x if self.last is None else self.last
            self.last = x
            return x + before

    module = Delayed()
    graph = load(module, (X,))
    assert any("stores 'last'" in note for note in graph.notes) and module.last is None


def test_a_change_of_one_sample_fixes_the_batch() -> None:
    def change(x: torch.Tensor) -> torch.Tensor:
        y = x * 1
        y[0] = 0
        return y

    graph = assert_same(change, X, batches=(), gradients=False)
    assert "one sample" in graph.notes[0]


def to_a_stepped_slice(x: torch.Tensor) -> Any:
    y = x * 1
    y[:, ::2] = 0
    return y


def to_an_expanded_view(x: torch.Tensor) -> Any:
    return (x * 1)[:, None].expand(-1, 2, -1).add_(1)


def to_a_shape(x: torch.Tensor) -> Any:
    return (x * 1).unsqueeze_(1)


def to_indexed_elements(x: torch.Tensor) -> Any:
    y = x * 1
    y[:, torch.tensor([0, 2])] = 1.0
    return y


REFUSED = [to_a_stepped_slice, to_an_expanded_view, to_a_shape, to_indexed_elements]


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_changes_without_a_form_are_refused_with_a_way_out(function: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(Unsupported) as error:
        load(as_module(function), (X,))
    assert "test_in_place.py" in (error.value.where or "") and error.value.hint
