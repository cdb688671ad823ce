"""The layout is decided on the graph: networks have no transpose that they do not need, and random ones stay right."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.model import Tensor
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.ir import Graph, N, TensorType, Value, ops
from edgekit.passes import EXACT, run_passes
from tests.export.tflite.running import assert_equal_to_torch, op_counts


def graph_of(module: nn.Module, *shape: int) -> Graph:
    return run_passes(load(module.eval(), (torch.randn(1, *shape),)), EXACT)[0]


class Function(nn.Module):
    """A function with the layers that it uses."""

    def __init__(self, function: Callable[..., torch.Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, *self.layers)


def shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    batch, channels, height, width = x.shape
    return x.reshape(batch, groups, channels // groups, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class Pyramid(nn.Module):
    """Pools to 2 and 6 windows of 14 elements along each side, and back (pyramid pooling, arXiv:1612.01105)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.levels = nn.ModuleList(nn.Conv2d(4, 2, 1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        pooled = [level(F.adaptive_avg_pool2d(x, size)) for level, size in zip(self.levels, (2, 6), strict=True)]
        return torch.cat([x, *(F.interpolate(y, size=x.shape[2:], mode="bilinear") for y in pooled)], 1)


NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...], set[str]]] = {
    "convolutions, pools and a classifier": (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(6 * 36, 5)
        ),
        (3, 16, 16),
        {"CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED"},
    ),
    "an activation between the convolution and the classifier": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Sigmoid(), nn.Linear(8 * 36, 5)),
        (3, 8, 8),
        {"CONV_2D", "LOGISTIC", "FULLY_CONNECTED"},
    ),
    "a pyramid of averages over windows of two widths": (
        Pyramid(),
        (3, 14, 14),
        {"CONV_2D", "AVERAGE_POOL_2D", "RESHAPE", "BATCH_MATMUL", "RESIZE_BILINEAR", "CONCATENATION"},
    ),
    "averages along a signal over windows of two widths": (
        nn.Sequential(nn.Conv1d(3, 8, 5), nn.AdaptiveAvgPool1d(7), nn.Conv1d(8, 4, 3)),
        (3, 20),
        {"CONV_2D", "BATCH_MATMUL", "RESHAPE"},
    ),
    "a bilinear resize by factors that give no whole sizes": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Upsample(scale_factor=1.3, mode="bilinear"), nn.Conv2d(8, 4, 3)),
        (3, 9, 8),
        {"CONV_2D", "BATCH_MATMUL", "RESHAPE"},
    ),
    "one-dimensional convolutions in a chain": (
        nn.Sequential(nn.Conv1d(3, 8, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 8, 3, groups=8), nn.Conv1d(8, 4, 1)),
        (3, 32),
        {"RESHAPE", "CONV_2D", "MAX_POOL_2D", "DEPTHWISE_CONV_2D"},
    ),
    "squeeze and excitation": (
        Function(
            lambda x, a, b, c: (y := a(x)) * torch.sigmoid(c(F.relu(b(y.mean((2, 3), keepdim=True))))),
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 2, 1),
            nn.Conv2d(2, 8, 1),
        ),
        (3, 9, 9),
        {"CONV_2D", "MEAN", "LOGISTIC", "MUL"},
    ),
    "input that is channels-last in the source": (
        Function(lambda x, a: a(x.permute(0, 3, 1, 2)), nn.Conv2d(3, 8, 3)),
        (9, 9, 3),
        {"CONV_2D"},
    ),
    "layer norm over channels, as in ConvNeXt": (
        Function(
            lambda x, a, n, b: a(x) + b(n(a(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2),
            nn.Conv2d(3, 8, 3),
            nn.LayerNorm(8),
            nn.Linear(8, 8),
        ),
        (3, 9, 9),
        {"CONV_2D", "MEAN", "SUB", "SQUARE", "ADD", "RSQRT", "MUL", "FULLY_CONNECTED"},
    ),
    "patches of a vision transformer": (
        Function(lambda x, a, b: b(a(x).flatten(2).transpose(1, 2)), nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)),
        (3, 16, 16),
        {"CONV_2D", "FULLY_CONNECTED", "RESHAPE"},
    ),
    "a decoder from a vector": (
        Function(lambda x, a, b: b(F.relu(a(x)).view(-1, 8, 4, 4)), nn.Linear(5, 128), nn.ConvTranspose2d(8, 3, 4, 2, 1)),
        (5,),
        {"FULLY_CONNECTED", "RESHAPE", "TRANSPOSE_CONV"},
    ),
    "a pixel shuffle behind a convolution": (
        Function(lambda x, a, b: b(F.pixel_shuffle(F.relu(a(x)), 2)), nn.Conv2d(3, 16, 3), nn.Conv2d(4, 3, 3)),
        (3, 9, 9),
        {"CONV_2D", "DEPTH_TO_SPACE"},
    ),
    "a channel shuffle between convolutions": (
        Function(lambda x, a, b: b(shuffle(a(x), 2)), nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8)),
        (3, 9, 9),
        {"CONV_2D", "DEPTHWISE_CONV_2D"},
    ),
    "concatenated branches": (
        Function(
            lambda x, a, b, c: c(torch.cat([a(x), F.relu(b(x)), x], 1)[:, 1:-1]),
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(13, 2, 1),
        ),
        (3, 9, 9),
        {"CONV_2D", "CONCATENATION", "SLICE"},
    ),
    "softmax over channels": (
        Function(lambda x, a: torch.softmax(a(x), 1), nn.Conv2d(3, 8, 3)),
        (3, 9, 9),
        {"CONV_2D", "SOFTMAX"},
    ),
    "keys that are transposed for a product": (
        Function(lambda x, a, b: torch.softmax(a(x) @ b(x).transpose(-2, -1), -1) @ x, nn.Linear(6, 4), nn.Linear(6, 4)),
        (7, 6),
        {"FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX"},
    ),
    "a convolution before a recurrent layer": (
        Function(lambda x, a, g: g(a(x).transpose(1, 2))[0], nn.Conv1d(3, 8, 5), nn.LSTM(8, 4, batch_first=True)),
        (3, 20),
        {"RESHAPE", "CONV_2D", "BROADCAST_TO", "UNIDIRECTIONAL_SEQUENCE_LSTM", "SLICE", "MUL", "ADD"},
    ),
    "filters of one step along a sequence": (
        Function(
            lambda x, a, b, c: c(b(F.relu(a(x.transpose(1, 2)))).transpose(1, 2)),
            nn.Conv1d(6, 9, 1),
            nn.Conv1d(9, 5, 1, bias=False),
            nn.Linear(5, 3),
        ),
        (20, 6),
        {"FULLY_CONNECTED"},
    ),
    "instance norm and a reflecting border": (
        nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.Conv2d(8, 3, 1)),
        (3, 9, 9),
        {"MIRROR_PAD", "CONV_2D", "MEAN", "SUB", "SQUARE", "ADD", "RSQRT", "MUL"},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_no_transpose_where_none_is_needed(name: str) -> None:
    module, shape, operators = NETWORKS[name]
    file = assert_equal_to_torch(graph_of(module, *shape), tolerance=2e-5)
    assert set(op_counts(file)) <= operators
    assert op_counts(file).get("RESHAPE", 0) <= 2


def test_units_in_a_row_that_split_join_and_shuffle_take_one_transpose_each_at_most() -> None:
    def units(x: torch.Tensor, stem: nn.Module, *branches: nn.Module) -> torch.Tensor:
        x = stem(x)
        for branch in branches:
            kept, changed = x.chunk(2, 1)
            x = shuffle(torch.cat([kept, branch(changed)], 1), 2)
        return x

    layers = [nn.Conv2d(3, 16, 3, 2, 1), *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(4)), nn.Conv2d(16, 8, 1)]
    network = nn.Sequential(Function(units, *layers[:-1]), layers[-1])
    file = assert_equal_to_torch(graph_of(network, 3, 16, 16))
    # The last shuffle is an order of the weights that follow.
    assert op_counts(file).get("TRANSPOSE", 0) == 3 and op_counts(file)["RESHAPE"] <= 6


@pytest.mark.parametrize("affine", [True, False])
def test_a_group_norm_between_convolutions_divides_no_image(affine: bool) -> None:
    network = nn.Sequential(nn.Conv2d(3, 12, 3), nn.GroupNorm(4, 12, affine=affine), nn.ReLU(), nn.Conv2d(12, 2, 1))
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -1.0, 1.0)
    file = assert_equal_to_torch(graph_of(network, 3, 10, 12))
    assert "TRANSPOSE" not in op_counts(file)
    assert all(len(t.shape) < 4 or t.shape[1:3] == (1, 1) for t in reshaped_tensors(file))


def reshaped_tensors(file: bytes) -> list[Tensor]:
    main = read(file).main
    return [main.tensors[operator.inputs[0]] for operator in main.operators if operator.name == "RESHAPE"]


def test_a_maximum_over_flattened_positions_needs_no_transpose() -> None:
    def peak(x: torch.Tensor, convolution: nn.Module) -> torch.Tensor:
        flat = convolution(x).flatten(2)
        return torch.stack([flat.amax(-1), flat.mean(-1), flat.argmax(-1).float()], 1)

    file = assert_equal_to_torch(graph_of(Function(peak, nn.Conv2d(3, 5, 3)), 3, 10, 12))
    assert "TRANSPOSE" not in op_counts(file) and op_counts(file)["RESHAPE"] <= 4


def test_heads_on_maps_of_several_sizes_are_joined_before_they_are_transposed() -> None:
    fine, coarse = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 3, 2, 1)
    joined = Function(lambda x, a, b: torch.cat([a(x).flatten(2), b(x).flatten(2)], 2).sigmoid(), fine, coarse)
    counts = op_counts(assert_equal_to_torch(graph_of(joined, 3, 8, 8)))
    assert counts["TRANSPOSE"] == 1 and counts["CONCATENATION"] == 1


def test_where_two_neighbours_disagree_one_transpose_stands_at_the_smallest_tensor() -> None:
    net = Function(
        lambda x, a, b: b(F.relu(F.max_pool2d(a(x), 4)).flatten(2)), nn.Conv2d(3, 8, 3), nn.Linear(16, 2)
    )  # the linear layer runs over positions, so channels must come before them
    file = assert_equal_to_torch(graph_of(net, 3, 18, 18), tolerance=2e-5)
    assert {name: count for name, count in op_counts(file).items() if name != "RESHAPE"} == {
        "CONV_2D": 1,
        "MAX_POOL_2D": 1,
        "RELU": 1,
        "TRANSPOSE": 1,
        "FULLY_CONNECTED": 1,
    }
    transpose = next(o for o in read(file).main.operators if o.name == "TRANSPOSE")
    assert read(file).main.tensors[transpose.inputs[0]].nbytes == 4 * 8 * 16  # behind the pool


def test_a_value_that_several_readers_want_transposed_is_transposed_once() -> None:
    def forward(x: torch.Tensor, a: nn.Module, b: nn.Module, c: nn.Module) -> torch.Tensor:
        y = a(x).flatten(2)
        return b(y) * c(y)

    file = assert_equal_to_torch(graph_of(Function(forward, nn.Conv2d(3, 8, 3), nn.Linear(49, 2), nn.Linear(49, 2)), 3, 9, 9))
    assert op_counts(file)["TRANSPOSE"] == 1


class Builder:
    """Adds random ops to a graph whose values are images, sequences and vectors."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.graph = Graph("random")
        rank = rng.choice([2, 3, 4, 4])
        self.values = [self.graph.add_input("x", TensorType(torch.float32, (N, *(rng.randint(2, 6) for _ in range(rank - 1)))))]
        if rng.random() < 0.3:
            self.values.append(self.graph.add_input("z", self.values[0].type))

    def add(self, op: ops.Op, *inputs: Value | torch.Tensor) -> None:
        values = [self.graph.constant(v) if isinstance(v, torch.Tensor) else v for v in inputs]
        node = self.graph.add_node(op, values)
        self.values += node.outputs

    def randn(self, *shape: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.rng.randrange(2**31))
        return torch.randn(shape, generator=generator)

    def step(self) -> None:
        """One op on one of the latest values."""
        x = self.rng.choice(self.values[-3:])
        shape = [int(str(d)) for d in x.type.shape[1:]]
        makers = [self.elementwise, self.arithmetic, self.move, self.move, self.reduce, self.part, self.linear, self.softmax]
        if len(shape) == 3 and min(shape[1:]) >= 2:
            makers += [self.convolution, self.convolution, self.pool, self.shuffle]
        if len(shape) == 2 and shape[1] >= 3:
            makers += [self.signal]
        self.rng.choice(makers)(x, shape)

    def elementwise(self, x: Value, shape: list[int]) -> None:
        self.add(self.rng.choice([ops.Relu(), ops.Sigmoid(), ops.Tanh(), ops.Abs(), ops.LeakyRelu(0.1), ops.Hardswish()]), x)

    def arithmetic(self, x: Value, shape: list[int]) -> None:
        same = [v for v in self.values if v.type == x.type]
        constant = [size if self.rng.random() < 0.5 else 1 for size in shape[-self.rng.randint(1, len(shape)) :]]
        other = self.rng.choice([*same, self.randn(*constant)])
        self.add(self.rng.choice([ops.Add(), ops.Mul(), ops.Sub(), ops.Maximum()]), x, other)

    def move(self, x: Value, shape: list[int]) -> None:
        if self.rng.random() < 0.5:
            axes = list(range(1, len(shape) + 1))
            self.rng.shuffle(axes)
            self.add(ops.Permute((0, *axes)), x)
            return
        total = 1
        for size in shape:
            total *= size
        parts = []
        for _ in range(self.rng.randint(0, 3)):
            parts.append(self.rng.choice([d for d in range(1, total + 1) if total % d == 0]))
            total //= parts[-1]
        self.add(ops.Reshape((N, *parts, total)), x)

    def reduce(self, x: Value, shape: list[int]) -> None:
        if len(shape) > 1:
            axes = tuple(sorted(self.rng.sample(range(1, len(shape) + 1), self.rng.randint(1, len(shape) - 1))))
            self.add(self.rng.choice([ops.Mean, ops.Amax])(axes, self.rng.random() < 0.5), x)

    def part(self, x: Value, shape: list[int]) -> None:
        axis = self.rng.randint(1, len(shape))
        size = shape[axis - 1]
        kind = self.rng.randrange(4)
        if kind == 0:
            self.add(ops.Concat(axis), x, self.rng.choice([v for v in self.values if v.type == x.type]))
        elif kind == 1 and size > 1:
            self.add(ops.Split(axis, (1, size - 1)), x)
        elif kind == 2:
            starts, stops = [0] * (len(shape) + 1), [N, *shape]
            starts[axis] = self.rng.randrange(size)
            self.add(ops.Slice(tuple(starts), tuple(stops), (1,) * len(stops)), x)  # type: ignore[arg-type]
        else:
            pads = [(0, 0)] * (len(shape) + 1)
            pads[axis] = (self.rng.randrange(2), 1)
            self.add(ops.Pad(tuple(pads)), x)

    def linear(self, x: Value, shape: list[int]) -> None:
        width = self.rng.randint(1, 6)
        self.add(ops.Linear(), x, self.randn(width, shape[-1]) / shape[-1] ** 0.5, self.randn(width))

    def softmax(self, x: Value, shape: list[int]) -> None:
        self.add(ops.Softmax(self.rng.randint(1, len(shape))), x)

    def convolution(self, x: Value, shape: list[int]) -> None:
        channels, width = shape[0], self.rng.randint(1, 6)
        pads = ((1, 1), (self.rng.randrange(2), 1))
        if self.rng.random() < 0.4:
            self.add(ops.Conv2d(padding=pads, groups=channels), x, self.randn(channels, 1, 2, 2), self.randn(channels))
        else:
            self.add(ops.Conv2d(padding=pads), x, self.randn(width, channels, 2, 2) / channels**0.5, self.randn(width))

    def pool(self, x: Value, shape: list[int]) -> None:
        self.add(ops.MaxPool2d((2, 2), (1, 1), (0, 0), (1, 1)), x)

    def shuffle(self, x: Value, shape: list[int]) -> None:
        if shape[0] % 4 == 0:
            self.add(ops.PixelShuffle(2), x)
        elif shape[1] % 2 == shape[2] % 2 == 0:
            self.add(ops.PixelUnshuffle(2), x)

    def signal(self, x: Value, shape: list[int]) -> None:
        width = self.rng.randint(1, 5)
        self.add(ops.Conv1d(padding=((1, 1),)), x, self.randn(width, shape[0], 3) / (3 * shape[0]) ** 0.5, self.randn(width))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, "source", "channels_last"]), st.sampled_from([1, 2]))
def test_random_networks_give_torchs_numbers(seed: int, layout: str | None, batch: int) -> None:
    rng = random.Random(seed)
    builder = Builder(rng)
    for _ in range(rng.randint(1, 14)):
        builder.step()
    graph = builder.graph
    graph.outputs = list({id(v): v for v in (builder.values[-1], rng.choice(builder.values))}.values())
    graph.eliminate_dead()
    if any(len(v.type.shape) > 5 for v in graph.values()):
        return
    assert_equal_to_torch(graph, TfliteOptions(layout=layout, batch=batch), tolerance=1e-4)  # type: ignore[arg-type]


def test_a_value_may_have_more_readers_than_an_array_has_dimensions() -> None:
    steps = nn.Sequential(
        Function(lambda x, conv: torch.stack([torch.tanh(conv(x)[:, :, t]) for t in range(80)], 1), nn.Conv1d(3, 4, 1))
    )
    assert_equal_to_torch(graph_of(steps, 3, 80))


def test_the_same_graph_gives_the_same_bytes() -> None:
    module, shape, _ = NETWORKS["concatenated branches"]
    graph = graph_of(module, *shape)
    assert export(graph) == export(graph)
    assert export(graph) == export(graph.copy())
