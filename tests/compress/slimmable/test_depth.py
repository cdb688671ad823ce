"""Depths leave out the last residual blocks of every row, and which rows there are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit import Unsupported
from edgekit.compress.slimmable.depth import kept, residual_stages
from edgekit.compress.slimmable.extraction import sizes_of
from edgekit.compress.slimmable.nested import nest
from edgekit.compress.slimmable.size import Size
from edgekit.train.settings import Training
from tests.train.networks import blobs, graph_of

torch.set_num_threads(1)

DATA = ek.Data(train=blobs(64), evaluate=blobs(200, seed=7))


class Deep(nn.Module):
    """Two stages of three blocks, of which the first of the second stage has a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.first = nn.ModuleList([self.block(4) for _ in range(3)])
        self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.second = nn.ModuleList([self.block(8) for _ in range(2)])
        self.head = nn.Linear(8, 4)

    @staticmethod
    def block(channels: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor, skip: tuple[int, int] = (3, 2)) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        for block in self.first[: skip[0]]:
            x = torch.relu(x + block(x))
        x = torch.relu(self.down(x))
        for block in self.second[: skip[1]]:
            x = torch.relu(x + block(x))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_depth_of_two_decimals_means_the_fraction_that_it_stands_for() -> None:
    wanted = {(0.67, 3): 2, (0.33, 3): 1, (0.5, 3): 2, (0.7, 3): 3, (0.17, 6): 1, (0.01, 4): 1, (0.51, 20): 11, (1.0, 7): 7}
    assert {(depth, blocks): kept(depth, blocks) for depth, blocks in wanted} == wanted


def test_a_depth_has_the_first_blocks_of_every_stage() -> None:
    torch.manual_seed(0)
    module = Deep().eval()
    graph = graph_of(module, (2, 1, 8, 8))
    small = nest(graph, Size(1.0, 0.5)).graph
    x = torch.from_numpy(blobs(8)[0])
    with torch.no_grad():
        assert torch.allclose(small.module().eval()(x), module(x, (2, 1)), atol=1e-5)
    assert "second.1.0.weight" not in small.state and "first.1.0.weight" in small.state
    step = ek.Slimmable(widths=(0.5, 1.0), depths=(0.5, 1.0), epochs=1, training=Training(batch_size=32))
    found = step.apply(graph, DATA)
    assert [size.name for size in sizes_of(found)] == ["1", "1x0.5", "0.5", "0.5x0.5"]
    shallow = ek.slimmed(found, 0.5, 0.5)
    assert shallow.state["first.1.0.weight"].tensor_shape == (2, 2, 3, 3) and "first.2.0.weight" not in shallow.state
    macs = [row["macs"] for row in found.history[-1].details["sizes"]]
    assert macs[0] > macs[1] > macs[2] > macs[3]
    plain = graph_of(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 4)), (2, 1, 8, 8))
    with pytest.raises(Unsupported, match="no residual blocks"):
        ek.Slimmable(widths=(1.0,), depths=(0.5, 1.0)).apply(plain, DATA)


class LongSkip(nn.Module):
    """Blocks within a shortcut around all of them, as of super-resolution (EDSR)."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.end, self.tail = nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 1, 3, 1, 1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU()) for _ in range(4))

    def forward(self, x: torch.Tensor, blocks: int = 4) -> torch.Tensor:
        h = self.head(x)
        y = h
        for block in self.blocks[:blocks]:
            y = y + block(y)
        return self.tail(h + self.end(y))  # type: ignore[no-any-return]


class Groups(nn.Module):
    """Shortcuts around groups of blocks, and one around these (RCAN)."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 1, 3, 1, 1)
        self.groups = nn.ModuleList(nn.ModuleList(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(3)) for _ in range(2))
        self.ends = nn.ModuleList(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(2))

    def forward(self, x: torch.Tensor, blocks: int = 3) -> torch.Tensor:
        h = self.head(x)
        y = h
        for group, end in zip(self.groups, self.ends, strict=True):
            z = y
            for block in group[:blocks]:
                z = z + torch.relu(block(z))
            y = y + end(z)
        return self.tail(h + y)  # type: ignore[no-any-return]


class Apart(nn.Module):
    """Two branches of blocks of one shape, and behind a layer two blocks more."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.between, self.tail = nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 1, 3, 1, 1)
        self.rows = nn.ModuleList(nn.ModuleList(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(2)) for _ in range(3))

    def forward(self, x: torch.Tensor, blocks: int = 2) -> torch.Tensor:
        x = self.head(x)
        branches = [x, x]
        for number in range(2):
            for block in self.rows[number][:blocks]:
                branches[number] = torch.relu(branches[number] + block(branches[number]))
        y = self.between(torch.cat(branches, 1))
        for block in self.rows[2][:blocks]:
            y = y + torch.relu(block(y))
        return self.tail(y)  # type: ignore[no-any-return]


class Inner(nn.Module):
    """Blocks that have a shortcut inside: the whole one is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 1, 3, 1, 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList((nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 1))) for _ in range(4)
        )

    def forward(self, x: torch.Tensor, blocks: int = 4) -> torch.Tensor:
        x = self.head(x)
        for norm, inner, outer in self.blocks[:blocks]:
            y = norm(x)
            x = x + outer(torch.relu(y + inner(y)))
        return self.tail(x)  # type: ignore[no-any-return]


class Between(nn.Module):
    """Blocks with something between them that is no layer: ``kind`` says what."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.head, self.tail = kind, nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 1, 3, 1, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(4))
        self.scale, self.norm, self.gate = nn.Parameter(torch.rand(4, 1, 1)), nn.LayerNorm((4, 8, 8)), nn.Conv2d(4, 4, 1)
        self.places, self.group = nn.Parameter(torch.rand(1, 4, 8, 8)), nn.GroupNorm(1, 4)

    def forward(self, x: torch.Tensor, blocks: int = 4) -> torch.Tensor:
        x = self.head(x)
        for number, block in enumerate(self.blocks[:blocks]):
            if self.kind == "pool":
                x = x + nn.functional.avg_pool2d(self.group(x), 3, 1, 1) if number % 2 else x + torch.relu(block(x))
                continue
            x = self.between(x + torch.relu(block(x)))
        return self.tail(x)  # type: ignore[no-any-return]

    def between(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "norm":
            return self.norm(x)  # type: ignore[no-any-return]
        if self.kind == "gate":
            return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        if self.kind == "places":
            return x + self.places
        return x * (torch.sigmoid(x) if self.kind == "swish" else self.scale)


@pytest.mark.parametrize("kind", ["scale", "norm", "swish", "gate", "places", "pool"])
def test_what_is_no_layer_may_stand_between_the_blocks_of_a_stage(kind: str) -> None:
    torch.manual_seed(0)
    graph = graph_of(Between(kind), (2, 1, 8, 8))
    ((first, *others),) = residual_stages(graph)
    assert len(others) == 3 and first.add.op.name == "add"
    small = nest(graph, Size(1.0, 0.5)).graph
    found = {name.split(".")[1] for name in small.state if name.startswith("blocks")}
    assert found == ({"0"} if kind == "pool" else {"0", "1"})


@pytest.mark.parametrize(("kind", "blocks"), [(LongSkip, 2), (Groups, 2), (Apart, 1), (Inner, 2)], ids=lambda x: str(x))
def test_blocks_of_a_stage_stand_in_a_row_and_shortcuts_around_them_stay(kind: type[nn.Module], blocks: int) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    x = torch.from_numpy(blobs(8)[0])
    small = nest(graph_of(module, (2, 1, 8, 8)), Size(1.0, 0.5)).graph
    with torch.no_grad():
        torch.testing.assert_close(small.module().eval()(x), module(x, blocks), rtol=0, atol=1e-5)


class Blocks(nn.Module):
    """Linear blocks with shortcuts and nothing behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 8)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 8)) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.flatten(1))
        for block in self.blocks:
            x = x + block(x)
        return x


@pytest.mark.parametrize("heads", ["auto", "own"])
def test_a_last_layer_may_lie_in_a_block_that_a_depth_leaves_out(heads: str) -> None:
    graph = graph_of(Blocks(), (2, 1, 8, 8))
    step = ek.Slimmable(widths=(1.0,), depths=(0.5, 1.0), heads=heads, epochs=1, training=Training(batch_size=32))
    found = step.apply(graph, DATA)
    shallow = ek.slimmed(found, depth=0.5)
    assert not any(name.startswith("blocks.1") for name in shallow.state) and found.macs > shallow.macs
    torch.testing.assert_close(shallow.state["blocks.0.0.weight"].tensor, found.state["blocks.0.0.weight"].tensor)
