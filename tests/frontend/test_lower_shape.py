"""Ops that move, take, repeat or join elements keep them in place, at every batch size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Unsupported
from edgekit.ir import Batch, N
from tests.frontend.compare import assert_same, op_names

ROWS = torch.randn(2, 6)
SEQUENCE = torch.randn(2, 4, 10)
IMAGE = torch.randn(2, 4, 8, 6)

FUNCTIONS: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "reshape, view, flatten": (
        lambda x: (x.reshape(x.shape[0], -1), x.view(-1, 5), x.flatten(1), x.flatten(), x.ravel()),
        SEQUENCE,
    ),
    "flatten by size": (lambda x: x.view(x.size(0), x.size(1) * x.size(2)), SEQUENCE),
    "unflatten, unsqueeze, squeeze": (
        lambda x: (x.unflatten(1, (2, 2)), x.unsqueeze(0), x[:, :1].squeeze(1)),
        SEQUENCE,
    ),
    "squeeze of several": (lambda x: x.mean((2, 3), keepdim=True).squeeze((2, 3)), IMAGE),
    "squeeze of what has no size 1": (lambda x: x.squeeze(1), SEQUENCE),
    "permute, transpose": (
        lambda x: (x.permute(2, 0, 1), x.transpose(-1, 1), x.mT, x.swapaxes(0, 1), x.movedim(1, 2)),
        SEQUENCE,
    ),
    "movedim of several": (lambda x: (x.movedim((1, 2), (3, 1)), torch.moveaxis(x, 3, 1)), IMAGE),
    "t": (lambda x: (x.t(), x.T), ROWS),
    "view_as, reshape_as": (lambda x: x.flatten(1).view_as(x).reshape_as(x), SEQUENCE),
    "cat": (lambda x: (torch.cat([x, x * 2, torch.ones(x.shape[0], 2)], 1), torch.concat((x, x), -1)), ROWS),
    "cat over the batch": (lambda x: torch.cat([x, x * 2], 0), ROWS),
    "cat with an empty one": (lambda x: torch.cat([torch.tensor([]), x], 0), ROWS),
    "cat of types": (lambda x: torch.cat([x, (x > 0)], 1), ROWS),
    "stack": (
        lambda x: (torch.stack([x, x * 2], 1), torch.stack((x, x), -1), torch.hstack((x, x)), torch.dstack((x, x))),
        ROWS,
    ),
    "split": (lambda x: (*x.split(2, 1), *x.split([1, 5], 1), *torch.split(x, 4, -1)), ROWS),
    "chunk": (lambda x: (*x.chunk(3, 1), *x.chunk(4, 1), *x.tensor_split(4, 1), *x.tensor_split((1, 3), dim=1)), ROWS),
    "unbind": (lambda x: (*x.unbind(1), *[step * 2 for step in x.unbind(-1)]), SEQUENCE),
    "one part of many": (lambda x: x.chunk(3, 1)[1] + x.unbind(1)[5][:, None], ROWS),
    "slices": (lambda x: (x[:, 1:], x[:, ::2], x[:, -3:-1], x[:, 1:5:3], x[:, :100], x[:, 4:2], x[:, -100:2]), ROWS),
    "slices of all kinds": (
        lambda x: (x[..., None], x[None], x[:, 2], x[:, -1], x[..., 1:3, 0], x[:, :, ::3]),
        SEQUENCE,
    ),
    "select, narrow": (lambda x: (x.select(1, -2), x.narrow(1, 1, 3), x.narrow(2, -4, 2)), SEQUENCE),
    "expand": (
        lambda x: (x[:, None].expand(-1, 4, -1), x[:, :1].expand_as(x), torch.broadcast_to(x[:, None], (x.shape[0], 3, 6))),
        ROWS,
    ),
    "expand to the batch": (lambda x: x + torch.ones(1, 6).expand(x.shape[0], 6), ROWS),
    "repeat, tile": (lambda x: (x.repeat(1, 2), x.repeat(2, 1, 3), x.tile(2), x.tile((1, 1, 2)), x.repeat(2, 1)), ROWS),
    "repeat to the batch": (lambda x: torch.arange(6.0).repeat(x.shape[0], 1) * x, ROWS),
    "repeat_interleave": (lambda x: (x.repeat_interleave(2, 1), x.repeat_interleave(3, dim=2)), SEQUENCE),
    "roll": (lambda x: (x.roll(1, 1), x.roll((1, -2), (1, 2))), SEQUENCE),
    "flip": (lambda x: (x.flip(1), x.flip(-1, 1), torch.fliplr(x), torch.rot90(x, 1, (1, 2))), SEQUENCE),
    "index_select": (lambda x: x.index_select(2, torch.tensor([0, 2, 2])), SEQUENCE),
    "index with constants": (
        lambda x: (x[:, torch.tensor([1, -1])], x[:, [0, 3]], x[:, torch.tensor([[0, 1], [2, 3]])]),
        SEQUENCE,
    ),
    "index with two constants": (lambda x: x[:, torch.tensor([0, 1]), torch.tensor([2, -3])], SEQUENCE),
    "unfold": (lambda x: (x.unfold(2, 3, 2), x.unfold(1, 2, 1)), SEQUENCE),
    "gather": (lambda x: x.gather(2, (x[:, :3, :5] > 0).long() + torch.tensor([4, 0, 7, 2, 1])), SEQUENCE),
    "diagonal": (lambda x: (torch.diagonal(x, 0, 2, 3), torch.diagonal(x, -1, 1, 2), x.diagonal(2, 1, 3)), IMAGE),
    "fold side by side": (lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 6), 2, stride=2), IMAGE),
    "fold with overlaps": (lambda x: F.fold(F.unfold(x, 3, 1, 1, 2), (8, 6), 3, 1, 1, 2), IMAGE),
    "fold that does not reach the edge": (lambda x: F.fold(F.unfold(x, (2, 3), stride=3), (8, 6), (2, 3), stride=3), IMAGE),
    "im2col": (lambda x: F.unfold(x, 2), IMAGE),
    "im2col of a computed value": (lambda x: F.unfold(x.relu() * 2, (3, 2), 2, (1, 2), (2, 1)), IMAGE),
    "pad": (
        lambda x: (F.pad(x, (1, 2)), F.pad(x, (1, 1, 2, 0), value=0.5), F.pad(x, (-1, 1)), F.pad(x, (0, 0, 0, 0, 1, 2))),
        IMAGE,
    ),
    "pad by reflection": (lambda x: (F.pad(x, (1, 2, 2, 0), mode="reflect"), nn.ReflectionPad2d(1)(x)), IMAGE),
    "pad by replication": (
        lambda x: (F.pad(x, (1, 2, 2, 0), mode="replicate"), nn.ReplicationPad2d((1, 0, 2, 1))(x)),
        IMAGE,
    ),
    "pad in a circle": (lambda x: F.pad(x, (1, 2, 2, 0), mode="circular"), IMAGE),
    "pads of signals": (
        lambda x: (F.pad(x, (2, 1), mode="reflect"), nn.ReplicationPad1d(2)(x), nn.ConstantPad1d(1, 3.0)(x)),
        SEQUENCE,
    ),
    "pad of nothing": (lambda x: F.pad(x, (0, 0)) + 1, IMAGE),
    "nearest": (
        lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, size=(5, 7)), F.interpolate(x, scale_factor=1.3)),
        IMAGE,
    ),
    "bilinear": (
        lambda x: (F.interpolate(x, scale_factor=1.5, mode="bilinear"), F.interpolate(x, (3, 9), mode="bilinear")),
        IMAGE,
    ),
    "bilinear, odd factor": (lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear"), IMAGE),
    "bilinear, corners": (lambda x: F.interpolate(x, size=(12, 12), mode="bilinear", align_corners=True), IMAGE),
    "resize of signals": (
        lambda x: (F.interpolate(x, scale_factor=2), F.interpolate(x, size=15, mode="linear")),
        SEQUENCE,
    ),
    "upsample layers": (lambda x: (nn.Upsample(scale_factor=2)(x), nn.UpsamplingBilinear2d(scale_factor=2)(x)), IMAGE),
    "pixel shuffles": (
        lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), F.pixel_shuffle(x.mean(0), 2)),
        IMAGE,
    ),
    "channel shuffle": (lambda x: (F.channel_shuffle(x, 2), nn.ChannelShuffle(4)(x)), IMAGE),
    "shuffle by hand": (lambda x: x.view(x.shape[0], 2, 2, 8, 6).transpose(1, 2).reshape(x.shape), IMAGE),
    "made tensors": (
        lambda x: (x + torch.zeros(x.shape[0], 6), torch.ones_like(x), torch.full((x.shape[0], 2), 3.0), torch.full_like(x, 2)),
        ROWS,
    ),
    "made tensors of other types": (
        lambda x: (x.new_zeros(x.shape[0], 3), x.new_ones(x.shape), torch.zeros(x.size(0), dtype=torch.long)),
        ROWS,
    ),
    "constants": (
        lambda x: torch.eye(6) @ x.T + torch.linspace(0, 1, 6)[:, None] + torch.arange(1, 13, 2)[:, None],
        ROWS,
    ),
    "constant mask": (lambda x: x[:, None] * torch.tril(torch.ones(6, 6)), ROWS),
    "meshgrid": (
        lambda x: x + torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(2.0), indexing="ij")).sum(),
        ROWS,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elements_stay_in_place(name: str) -> None:
    function, example = FUNCTIONS[name]
    assert_same(function, example)


def test_sizes_that_follow_the_batch_become_multiples_of_it() -> None:
    graph = assert_same(lambda x: (x.reshape(-1, 3), x.reshape(-1), x.T), ROWS)
    assert [value.shape for value in graph.outputs] == [(Batch(2), 3), (Batch(6),), (6, N)]


def test_views_that_change_nothing_leave_no_op() -> None:
    assert op_names(assert_same(lambda x: x.view(-1, 6)[:, :].reshape(x.shape).expand(-1, 6).repeat(1, 1) + 1, ROWS)) == ["add"]


def test_slices_of_several_dimensions_are_one() -> None:
    graph = assert_same(lambda x: x[:, 1:, ::2, 3:5][:, :2], IMAGE)
    assert op_names(graph) == ["slice", "slice"]
    assert op_names(assert_same(lambda x: x[:, :, ::2, ::2], IMAGE)) == ["slice"]
    assert op_names(assert_same(lambda x: x[:, :3][:, :, 1:], IMAGE)) == ["slice"]


def test_constants_are_computed_while_loading() -> None:
    def mask(x: torch.Tensor) -> torch.Tensor:
        allowed = torch.triu(torch.ones(4, 4), 1).bool()
        return x + torch.zeros(4, 4).masked_fill(allowed, float("-inf"))[None, :, :1]

    graph = assert_same(mask, SEQUENCE)
    assert op_names(graph) == ["add"]


def test_an_embedding_is_a_lookup() -> None:
    indices = torch.tensor([[1, 9, 0], [3, 3, 2]])
    assert op_names(assert_same(nn.Embedding(10, 4, padding_idx=0), indices, gradients=False)) == ["gather"]
    assert_same(lambda i: torch.arange(20.0).reshape(10, 2)[i], indices)


FIXED: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "one sample": (lambda x: x[0], "takes one sample of the batch"),
    "a part of the batch": (lambda x: x[1:], ""),
    "the batch apart": (lambda x: x.unbind(0)[1], ""),
    "a reversed batch": (lambda x: x.flip(0), "reverses the batch"),
    "counting samples": (lambda x: x + torch.arange(x.shape[0])[:, None, None, None], "counts the samples"),
    "samples by index": (lambda x: x[torch.tensor([1, 0])], "picks samples"),
    "softmax over the batch": (lambda x: x.softmax(0), "normalises over the batch"),
    "the batch size as output": (lambda x: (x, x.shape[0]), "an output is a number"),
}


@pytest.mark.parametrize("name", FIXED)
def test_what_tells_samples_apart_fixes_the_batch_and_says_why(name: str) -> None:
    function, message = FIXED[name]
    graph = assert_same(function, IMAGE, batches=())
    (note,) = graph.notes
    assert note.startswith("the batch is fixed: ") and message in note
    assert "test_lower_shape.py" in note or not message or name == "the batch size as output"


REFUSED: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "a mask as index": (lambda x: x[x > 0], "mask"),
    "indices apart": (lambda x: x[:, torch.tensor([0, 1]), :, torch.tensor([2, 1])], "apart from each other"),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), "upsample_bicubic2d"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_by_name(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(Unsupported, match=message) as error:
        assert_same(function, IMAGE)
    assert "test_lower_shape.py" in (error.value.where or "")
    assert error.value.hint and error.value.exit_code == 4
