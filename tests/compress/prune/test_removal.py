"""Removal by name, and the comparison that every removal goes through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import ParityError, Unsupported, UsageError
from edgekit.compress.prune import Prune
from edgekit.compress.prune.coupling import COUPLES, SHRINKS, Coupling
from edgekit.compress.prune.removal import remove
from edgekit.frontend.source import load
from edgekit.ir import Graph, Node, ops
from edgekit.ir.ops import OPS
from edgekit.ir.text import parse
from tests.compress.prune.masked import largest_difference, masked_source, randomise
from tests.compress.prune.networks import small_cnn, small_graph

torch.set_num_threads(1)

HALVES = """
graph g(%x: float32[N,3,4,4])
  @w: float32[8,3,1,1] parameter
  @v: float32[2,4,1,1] parameter
  @u: float32[2,4,1,1] parameter
  %y = conv2d(%x, @w)
  %r = relu(%y)
  %a, %b = split(%r, axis=1, sizes=(4, 4))
  %c = conv2d(%a, @v)
  %d = conv2d(%b, @u)
  %z = add(%c, %d)
  return %z
"""


def test_channels_are_removed_with_all_that_is_coupled_to_them() -> None:
    removed = {"0.weight": {0: (1, 5)}, "0.bias": {0: (1, 5)}, "3.weight": {1: (1, 5)}}
    removed |= {f"1.{n}": {0: (1, 5)} for n in ("weight", "bias", "running_mean", "running_var")}
    small = remove(small_graph(), {"0.weight": {0: [1, 5]}})
    assert small.state["1.running_var"].tensor_shape == (6,) and small.state["3.weight"].tensor_shape == (12, 6, 1, 1)
    x = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        assert largest_difference(masked_source(small_cnn(), removed)(x), small.module().eval()(x)) < 1e-5


def test_a_channel_of_the_output_cannot_be_removed() -> None:
    with pytest.raises(Unsupported, match="model's output"):
        remove(small_graph(), {"7.weight": {0: [1]}})


def test_all_channels_of_a_layer_cannot_be_removed() -> None:
    with pytest.raises(Unsupported, match="no channel would be left"):
        remove(small_graph(), {"0.weight": {0: range(8)}})


@pytest.mark.parametrize("wrong", [{"8.weight": {0: [0]}}, {"0.weight": {0: [8]}}, {"0.weight": {4: [0]}}])
def test_an_unknown_name_or_index_is_refused(wrong: dict[str, dict[int, list[int]]]) -> None:
    with pytest.raises(UsageError):
        remove(small_graph(), wrong)


def test_every_op_is_in_the_table_of_couplings() -> None:
    assert set(COUPLES) == {op for op in OPS.values() if not op.only_in_training}
    assert set(SHRINKS) <= set(COUPLES)


def test_an_op_without_an_entry_keeps_its_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(COUPLES, ops.Relu)
    record = Prune(ratio=0.5).apply(parse(HALVES)).history[-1]
    assert not record.removed and "not known how channels couple there: 'relu'" in record.declined["w"]


def _swapped(node: Node, c: Coupling) -> None:
    rows = c.all_axes(node.input(0))
    parts = np.split(rows[1], 2)
    for output, part in zip(node.outputs, parts[::-1], strict=True):
        c.label(output, [rows[0], part, *rows[2:]])


def _shifted(node: Node, c: Coupling) -> None:
    rows = c.all_axes(node.input(0))
    c.label(node.output, [rows[0], np.roll(rows[1], 1), *rows[2:]])


def _unjoined(node: Node, c: Coupling) -> None:
    c.makes(node.input(1), 0)
    c.makes(node.input(1), 1)
    rows = c.all_axes(node.input(0))
    c.fix(c.axis(node.input(1), 2), "")
    c.fix(c.axis(node.input(1), 3), "")
    c.label(node.output, [rows[0], c.axis(node.input(1), 0), *rows[2:]])


@pytest.mark.parametrize(("op", "wrong"), [(ops.Split, _swapped), (ops.Relu, _shifted)])
def test_the_oracle_refuses_indices_that_went_wrong(op: type, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistakes of the field: outputs of a chunk exchanged, indices off by one."""
    monkeypatch.setitem(COUPLES, op, wrong)
    with pytest.raises(ParityError, match="against the masked original"):
        remove(parse(HALVES), {"w": {0: [0, 1, 6]}})


def test_a_removal_that_does_not_fit_together_never_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that do not lose what their input lost: the graph's grammar refuses."""
    from edgekit.errors import EdgekitError

    monkeypatch.setitem(COUPLES, ops.Conv2d, _unjoined)
    with pytest.raises((EdgekitError, AssertionError)):
        remove(parse(HALVES), {"w": {0: [0, 1, 6]}})


def test_the_masked_original_leaves_out_what_relu_makes_of_a_bias() -> None:
    """sigmoid(0) is not 0: a mask in the weights alone would let half of it through."""
    graph: Graph = parse(
        """
        graph g(%x: float32[N,4])
          @w: float32[6,4] parameter
          @v: float32[2,6] parameter
          %y = linear(%x, @w)
          %s = sigmoid(%y)
          %t = sum(%s, axes=(1,), keepdim=True)
          %z = linear(%s, @v)
          %o = add(%z, %t)
          return %o
        """
    )
    small = remove(graph, {"w": {0: [2, 3]}})
    x, kept = torch.randn(3, 4), [0, 1, 4, 5]
    s = torch.sigmoid(x @ graph.state["w"].tensor.T)[:, kept]
    wanted = s @ graph.state["v"].tensor[:, kept].T + s.sum(1, keepdim=True)
    torch.testing.assert_close(small.module().eval()(x), wanted)


def test_a_norm_over_pruned_channels_takes_its_statistics_from_those_that_stay() -> None:
    text = """
    graph g(%x: float32[N,4])
      @w: float32[6,4] parameter
      @g: float32[6] parameter
      @v: float32[2,6] parameter
      %y = linear(%x, @w)
      %n = layer_norm(%y, @g, none)
      %z = linear(%n, @v)
      return %z
    """
    graph = parse(text)
    small = remove(graph, {"w": {0: [0, 5]}})
    kept, x = [1, 2, 3, 4], torch.randn(3, 4)
    w, g, v = (graph.state[n].tensor for n in "wgv")
    wanted = torch.nn.functional.layer_norm(x @ w[kept].T, (4,), g[kept]) @ v[:, kept].T
    torch.testing.assert_close(small.module().eval()(x), wanted)


def test_group_norm_loses_the_same_channels_of_every_group() -> None:
    model = randomise(nn.Sequential(nn.Conv2d(3, 12, 1), nn.GroupNorm(3, 12), nn.ReLU(), nn.Conv2d(12, 2, 1)), 3)
    graph = load(model, (torch.zeros(1, 3, 4, 4),))
    small = Prune(ratio=0.5, criterion="l1").apply(graph)
    removed = small.history[-1].removed["1.weight"][0]
    assert [sum(i // 4 == group for i in removed) for group in range(3)] == [2, 2, 2]
    kept = [i for i in range(12) if i not in removed]
    x = torch.randn(3, 3, 4, 4)
    with torch.no_grad():
        y = F.group_norm(model[0](x)[:, kept], 3, model[1].weight[kept], model[1].bias[kept], model[1].eps)
        wanted = F.conv2d(y.relu(), model[3].weight[:, kept], model[3].bias)
        assert largest_difference(wanted, small.module().eval()(x)) < 1e-5


def test_a_crop_of_the_batch_or_of_channels_is_no_crash() -> None:
    graph = parse(
        """
        graph g(%x: float32[N,3,4,4])
          @w: float32[6,3,1,1] parameter
          @v: float32[2,4,1,1] parameter
          %y = conv2d(%x, @w)
          %p = pad(%y, pads=((0, 0), (-1, -1), (0, 0), (0, 0)))
          %z = conv2d(%p, @v)
          %s = slice(%z, starts=(0, 0, 0, 0), stops=(2, 2, 4, 4), steps=(1, 1, 1, 1))
          return %s
        """
    )
    record = Prune(ratio=0.5).apply(graph).history[-1]
    assert "padded axis" in record.declined["w"]


def test_groups_of_a_convolution_lose_inputs_of_their_own_as_a_shuffle_has_them() -> None:
    """Behind a shuffle of three groups each of the next three convolves other channels; all of them keep as many."""
    torch.manual_seed(0)
    graph = parse(
        """
        graph g(%x: float32[N,4,2,2])
          @w: float32[18,4,1,1] parameter
          @v: float32[6,6,1,1] parameter
          @o: float32[2,6,1,1] parameter
          %y = conv2d(%x, @w)
          %a = reshape(%y, shape=(N, 3, 6, 2, 2))
          %b = permute(%a, dims=(0, 2, 1, 3, 4))
          %c = reshape(%b, shape=(N, 18, 2, 2))
          %d = conv2d(%c, @v, groups=3)
          %z = conv2d(%d, @o)
          return %z
        """
    )
    record = Prune(ratio=0.5, criterion="l1", keep=("v",)).apply(graph).history[-1]
    lost = record.removed["w"][0]
    assert 0 < len(lost) < 18 and len({sum(i // 6 == g for i in lost) for g in range(3)}) == 1
    places = [k * 3 + g for k in range(6) for g in range(3) if g * 6 + k in lost]  # where the shuffle puts them
    by_group = [[p % 6 for p in sorted(places) if p // 6 == group] for group in range(3)]
    assert len({len(row) for row in by_group}) == 1
    assert record.removed["v"].get(1) is not None or record.details["removed_of_groups"]["v"] == by_group


def test_an_integer_parameter_is_no_obstacle() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
            self.steps = nn.Parameter(torch.arange(4), requires_grad=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x)[..., self.steps])

    graph = load(Masked(), (torch.zeros(1, 3, 4, 4),))
    for step in (Prune(ratio=0.5), Prune(macs=0.5)):
        assert len(step.apply(graph).history[-1].removed["a.weight"][0]) == 4
