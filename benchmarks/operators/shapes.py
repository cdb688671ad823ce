"""Shapes, parts, joins and rearrangements: elements are moved and never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.operators.row import Given, Row, Shape, function, index, layer, refused

IMAGE, SEQUENCE, VECTOR = (4, 9, 8), (4, 10), (12,)


def _move(name: str, called: Callable[..., Any], *inputs: Shape | Given, **bounds: Any) -> Row:
    return function(name, called, *inputs, moves=True, **bounds)


VIEWS = (
    layer("nn.Flatten", lambda x: nn.Flatten(), IMAGE, moves=True, any_rank=True),
    _move("view, batch symbolic", lambda x: x.view(x.size(0), x.size(1) * x.size(2), -1), IMAGE),
    _move("view(-1, n)", lambda x: x.view(-1, 5), SEQUENCE),
    _move("reshape, batch and channels merged", lambda x: x.reshape(-1, x.shape[2], x.shape[3]), IMAGE),
    _move("unflatten", lambda x: x.unflatten(1, (2, 2)), IMAGE),
    _move("unsqueeze, squeeze", lambda x: x.unsqueeze(1).squeeze(1), IMAGE, any_rank=True),
    _move("squeeze after keepdim", lambda x: x[:, :1].squeeze(1), IMAGE),
    _move("permute", lambda x: x.permute(0, 2, 3, 1), IMAGE),
    _move("transpose", lambda x: x.transpose(1, 2), SEQUENCE),
    _move("movedim", lambda x: x.movedim(1, -1), IMAGE, any_rank=True),
    _move("permute, batch inside", lambda x: x.permute(1, 0, 2), SEQUENCE),
    _move("expand", lambda x: x.unsqueeze(1).expand(-1, 3, -1), VECTOR),
    _move("broadcast_to", lambda x: x[:, :1].broadcast_to(x.shape), SEQUENCE),
    _move("repeat", lambda x: x.repeat(1, 2, 3), SEQUENCE),
    _move("repeat_interleave", lambda x: x.repeat_interleave(2, 1), SEQUENCE),
    _move("torch.tile", lambda x: torch.tile(x, (1, 2, 1)), SEQUENCE),
)

PARTS = (
    _move("x[:, a:b]", lambda x: x[:, 1:3], IMAGE),
    _move("x[..., ::2], x[:, :, 1::3]", lambda x: (x[..., ::2], x[:, :, 1::3]), IMAGE),
    _move("x[:, -1]", lambda x: x[:, -1], IMAGE),
    _move("narrow, select", lambda x: x.narrow(1, 1, 2) + x.select(1, 0).unsqueeze(1), IMAGE),
    _move("torch.split", lambda x: torch.split(x, [1, 3], 1), IMAGE),
    _move("torch.chunk", lambda x: torch.chunk(x, 2, 1), IMAGE),
    _move("torch.tensor_split", lambda x: torch.tensor_split(x, 3, 2), IMAGE),
    _move("torch.unbind", lambda x: torch.unbind(x, 1), SEQUENCE),
    _move("torch.index_select", lambda x: torch.index_select(x, 1, torch.tensor([3, 0, 0])), IMAGE),
    _move("x[:, [i, j]]", lambda x: x[:, [2, 0]], IMAGE),
    _move("x[:, i, j], two lists", lambda x: x[:, :, [2, 0], [1, 3]], IMAGE),
    _move("torch.gather", lambda x, i: torch.gather(x, 1, i), VECTOR, index(5, below=12)),
    _move("torch.take_along_dim", lambda x, i: torch.take_along_dim(x, i, 2), SEQUENCE, index(4, 3, below=10), fuzz=False),
    layer("nn.Unfold", lambda x: nn.Unfold(3, padding=1, stride=2), IMAGE, moves=True),
    _move("Tensor.unfold", lambda x: x.unfold(2, 4, 3), SEQUENCE),
    _move("torch.diagonal", lambda x: torch.diagonal(x, dim1=1, dim2=2), (6, 6)),
    refused("x[mask]", lambda x: x[x > 0], "mask", VECTOR),
)

JOINS = (
    _move("torch.cat, channels", lambda x, y: torch.cat([x, y], 1), IMAGE, (3, 9, 8)),
    _move("torch.cat, last axis", lambda x, y: torch.cat([x, y], -1), SEQUENCE, (4, 3)),
    _move("torch.cat with a constant", lambda x: torch.cat([torch.ones(x.shape[0], 1, 10), x], 1), SEQUENCE),
    _move("torch.stack", lambda x, y: torch.stack([x, y], 1), IMAGE, IMAGE, any_rank=True),
    _move("torch.stack, last axis", lambda x, y: torch.stack([x, y], -1), SEQUENCE, SEQUENCE),
    _move(
        "torch.meshgrid",
        lambda x: (
            x[:, None, None]
            + torch.stack(torch.meshgrid(torch.arange(3.0), torch.arange(2.0), indexing="ij"))[None, 0, :, :, None]
        ),
        (1,),
        fuzz=False,
    ),
)

ARRANGEMENTS = (
    layer("nn.Fold, side by side", lambda x: nn.Fold((6, 4), 2, stride=2), (12, 6), moves=True),
    layer("nn.Fold, overlapping", lambda x: nn.Fold((6, 5), 3, stride=2, padding=1), (18, 9)),
    _move("torch.flip", lambda x: torch.flip(x, (1, 3)), IMAGE),
    _move("torch.roll", lambda x: torch.roll(x, (2, -3), (2, 3)), IMAGE),
    _move("torch.rot90", lambda x: torch.rot90(x, 1, (2, 3)), IMAGE),
    layer("nn.PixelShuffle", lambda x: nn.PixelShuffle(2), (8, 3, 4), moves=True),
    layer("nn.PixelUnshuffle", lambda x: nn.PixelUnshuffle(2), (3, 4, 6), moves=True),
    layer("nn.ChannelShuffle", lambda x: nn.ChannelShuffle(2), IMAGE, moves=True),
    _move(
        "channel shuffle by views",
        lambda x: x.view(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
        IMAGE,
    ),
    _move(
        "space to depth by views",
        lambda x: (
            x.view(x.shape[0], x.shape[1], x.shape[2] // 2, 2, x.shape[3] // 2, 2).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        ),
        (3, 4, 6),
    ),
)

PADS = (
    layer("nn.ZeroPad2d", lambda x: nn.ZeroPad2d((1, 2, 3, 0)), IMAGE, moves=True),
    layer("nn.ConstantPad1d", lambda x: nn.ConstantPad1d((2, 1), -1.5), SEQUENCE, moves=True),
    _move("F.pad, channels", lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)), IMAGE),
    _move("F.pad, negative", lambda x: F.pad(x, (-1, 2, 1, -2)), IMAGE),
    layer("nn.ReflectionPad1d", lambda x: nn.ReflectionPad1d((2, 3)), SEQUENCE, moves=True),
    layer("nn.ReflectionPad2d", lambda x: nn.ReflectionPad2d((1, 2, 3, 0)), IMAGE, moves=True),
    layer("nn.ReplicationPad1d", lambda x: nn.ReplicationPad1d((2, 3)), SEQUENCE, moves=True),
    layer("nn.ReplicationPad2d", lambda x: nn.ReplicationPad2d((1, 2, 3, 0)), IMAGE, moves=True),
    layer("nn.CircularPad1d", lambda x: nn.CircularPad1d((2, 3)), SEQUENCE, moves=True),
    layer("nn.CircularPad2d", lambda x: nn.CircularPad2d((1, 2, 3, 0)), IMAGE, moves=True),
    layer("nn.ReflectionPad3d", lambda x: nn.ReflectionPad3d(1), (2, 3, 4, 5), moves=True),
)

ROWS = (*VIEWS, *PARTS, *JOINS, *ARRANGEMENTS, *PADS)
