"""Channels that are constant over the data are removed without a trace: every reader that can take the constant takes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgekit import Data
from edgekit.compress.prune import Prune
from edgekit.frontend.source import load
from edgekit.ir import Graph

torch.set_num_threads(1)

CONSTANTS = (0.7, 1.5, 2.0, 0.3)


class Reads(nn.Module):
    """Eight channels, the even ones constant over the data, and what reads them."""

    def __init__(self, reader: nn.Module, before: Callable[[torch.Tensor], torch.Tensor] = lambda x: x) -> None:
        super().__init__()
        self.made, self.reader, self.before = nn.Conv2d(3, 8, 1), reader, before
        with torch.no_grad():
            self.made.weight[::2] = 0.0
            self.made.bias[::2] = torch.tensor(CONSTANTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.reader(self.before(self.made(x).relu()))
        return y[0] if isinstance(y, tuple) else y


def steps_of(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(2).transpose(1, 2)


def absorbed(model: nn.Module, size: int = 6, **options: object) -> tuple[torch.Tensor, torch.Tensor, Graph]:
    """Outputs before and after, of data that was not looked at; and the small graph, less than half as wide."""
    graph = load(model.eval(), (torch.zeros(1, 3, size, size),))
    data, x = torch.randn(8, 3, size, size), torch.randn(5, 3, size, size)
    step = Prune(ratio=0.5, criterion="l1", keep=("reader",), absorb=True, **options)  # type: ignore[arg-type]
    small = step.apply(graph, Data(train=data.numpy()))
    assert small.history[-1].removed["made.weight"][0] == (0, 2, 4, 6)
    with torch.no_grad():
        return model(x), small.module().eval()(x), small


class Product(nn.Module):
    """A matrix product with a parameter, on either side, with a bias or none."""

    def __init__(self, *, left: bool = False, bias: bool = False) -> None:
        super().__init__()
        self.left = left
        self.weight = nn.Parameter(torch.randn(5, 8) if left else torch.randn(8, 5))
        self.offset = nn.Parameter(torch.randn(5)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.weight @ x.flatten(2) if self.left else steps_of(x) @ self.weight
        return y if self.offset is None else y + self.offset


EVERYWHERE = {
    "conv": lambda: (nn.Conv2d(8, 4, 1), "bias"),
    "conv, unpadded": lambda: (nn.Conv2d(8, 4, 3, stride=2), "bias"),
    "conv without a bias": lambda: (nn.Conv2d(8, 4, 3, bias=False), "new bias"),
    "conv and norm": lambda: (nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)), "batch norm"),
    "conv whose weight is computed": lambda: (Scaled(), "new bias"),
    "conv that several read": lambda: (Twice(), "new bias"),
    "grouped": lambda: (nn.Conv2d(8, 6, 3, groups=2), "bias"),
    "grouped without a bias": lambda: (nn.Conv2d(8, 4, 1, groups=4, bias=False), "new bias"),
    "transposed 1 x 1": lambda: (nn.ConvTranspose2d(8, 4, 1), "bias"),
    "transposed, no bias": lambda: (nn.ConvTranspose2d(8, 4, 1, bias=False), "new bias"),
    "transposed in groups": lambda: (nn.ConvTranspose2d(8, 6, 1, groups=2), "bias"),
}
SEQUENCES = {
    "linear": lambda: (nn.Linear(8, 5), "bias"),
    "linear without a bias": lambda: (nn.Linear(8, 5, bias=False), "new bias"),
    "linear before a norm over steps": lambda: (nn.Sequential(nn.Linear(8, 5, bias=False), nn.BatchNorm1d(36)), "new bias"),
    "gru": lambda: (nn.GRU(8, 5, batch_first=True), "bias"),
    "gru without biases": lambda: (nn.GRU(8, 5, batch_first=True, bias=False), "new bias"),
    "gru in two layers and directions": lambda: (nn.GRU(8, 5, 2, batch_first=True, bidirectional=True), "bias"),
    "lstm": lambda: (nn.LSTM(8, 5, batch_first=True, bidirectional=True), "bias"),
    "lstm without biases": lambda: (nn.LSTM(8, 5, 2, batch_first=True, bias=False), "new bias"),
    "rnn": lambda: (nn.RNN(8, 5, batch_first=True, nonlinearity="relu"), "bias"),
}


class Twice(nn.Module):
    """A convolution without a bias that a norm and an addition read: the norm's mean is not its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y).relu() + y


class Scaled(nn.Module):
    """A convolution whose weight is a parameter times a scale of each output."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(4, 8, 3, 3)), nn.Parameter(torch.rand(4, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight * self.scale)


@pytest.mark.parametrize("name", [*EVERYWHERE, *SEQUENCES])
def test_a_constant_is_absorbed_exactly_and_everywhere(name: str) -> None:
    torch.manual_seed(0)
    reader, place = (EVERYWHERE | SEQUENCES)[name]()
    for norm in (m for m in reader.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        nn.init.uniform_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    wanted, got, small = absorbed(Reads(reader, steps_of if name in SEQUENCES else lambda x: x))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    details = small.history[-1].details
    assert list(details["absorbed"].values()) == [place] and details["not_absorbed"] == {}
    assert "absorbed_on_average" not in details


@pytest.mark.parametrize(("left", "bias"), [(False, True), (False, False), (True, False)])
def test_a_product_with_a_parameter_absorbs(left: bool, bias: bool) -> None:
    torch.manual_seed(0)
    wanted, got, small = absorbed(Reads(Product(left=left, bias=bias)))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    assert small.history[-1].details["absorbed"] == {"reader.weight": "bias" if bias else "new bias"}
    assert ("reader.bias" in small.state) != bias


@pytest.mark.parametrize(
    "reader",
    [
        lambda: nn.Conv2d(8, 4, 3, padding=1),
        lambda: nn.Conv2d(8, 4, 3, padding=1, groups=2),
        lambda: nn.Conv2d(8, 4, 3, padding=1, dilation=1, padding_mode="reflect"),
        lambda: nn.ConvTranspose2d(8, 4, 3, padding=1),
    ],
)
def test_with_padding_it_is_exact_where_no_tap_meets_the_padding(reader: Callable[[], nn.Module]) -> None:
    """At the border fewer taps have data than the bias adds up. Reflected borders are data."""
    torch.manual_seed(0)
    made = reader()
    wanted, got, _ = absorbed(Reads(made))
    torch.testing.assert_close(got[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], rtol=0, atol=1e-5)
    border = float((got - wanted).abs().max())
    assert border < 1e-5 if getattr(made, "padding_mode", "zeros") == "reflect" else border > 0.01


def test_a_transposed_convolution_with_a_stride_takes_the_mean_over_its_phases_and_says_so() -> None:
    torch.manual_seed(0)
    model = Reads(nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1))
    wanted, got, small = absorbed(model)
    assert "phase" in small.history[-1].details["absorbed_on_average"]["reader.weight"]
    inside = (wanted - got)[..., 2:-2, 2:-2]
    assert float(inside.abs().max()) > 1e-3
    torch.testing.assert_close(inside.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)  # 8 x 8: each phase as often
    with torch.no_grad():  # kernels whose phases have equal sums
        model.reader.weight.copy_(model.reader.weight[:, :, :1, :1].expand(-1, -1, 4, 4))
    wanted, got, small = absorbed(model)
    torch.testing.assert_close(got[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2], rtol=0, atol=1e-5)
    assert "absorbed_on_average" not in small.history[-1].details


def test_a_unit_that_never_changes_is_absorbed_exactly_from_its_initial_state_on() -> None:
    """A GRU's unit whose update gate is shut keeps the state it is given."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 6, 2, batch_first=True), nn.Linear(6, 2)
            self.start = nn.Parameter(torch.rand(2, 1, 6))
            with torch.no_grad():
                for layer in ("l0", "l1"):
                    getattr(self.gru, f"weight_ih_{layer}")[6:9] = 0.0  # update gate of the first three units
                    getattr(self.gru, f"weight_hh_{layer}")[6:9] = 0.0
                    getattr(self.gru, f"bias_ih_{layer}")[6:9] = 40.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(x, self.start.expand(2, x.shape[0], 6).contiguous())[0])  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Net().eval()
    graph = load(model, (torch.zeros(2, 7, 3),))
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"):
            getattr(model.gru, name)[12:15] *= 1e-3  # they are the least by magnitude, and their candidates do not matter
    small = Prune(ratio=0.5, criterion="l1", absorb=True).apply(graph, torch.randn(16, 7, 3))
    assert small.history[-1].removed["gru.weight_hh_l0"][1] == (0, 1, 2)
    x = torch.randn(4, 7, 3)
    with torch.no_grad():
        torch.testing.assert_close(small.module().eval()(x), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("recurrent", [nn.GRU, nn.LSTM, nn.RNN])
def test_channels_that_vary_leave_less_error_behind_when_their_mean_is_absorbed(recurrent: type[nn.RNNBase]) -> None:
    """Inputs and hidden units of a recurrent layer both go."""
    torch.manual_seed(1)
    model = Reads(recurrent(8, 16, batch_first=True), steps_of)
    nn.init.normal_(model.made.weight)
    model = nn.Sequential(model, nn.Linear(16, 4)).eval()
    graph, data = load(model, (torch.zeros(1, 3, 6, 6),)), torch.randn(32, 3, 6, 6)
    error = []
    for absorb in (True, False):
        small = Prune(ratio=0.5, criterion="l1", absorb=absorb).apply(graph, Data(train=data.numpy()))
        assert len(small.history[-1].removed["0.reader.weight_hh_l0"][1]) == 8
        with torch.no_grad():
            error.append(float((small.module().eval()(data) - model(data)).square().mean()))
    assert error[0] < 0.9 * error[1]


def test_picked_channels_do_not_shift_which_layer_takes_what() -> None:
    """Where a half of the channels is read, the pruned graph has a node more than the original."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.made, self.some, self.rest = nn.Conv2d(3, 8, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)
            with torch.no_grad():
                self.made.weight[::2] = 0.0
                self.made.bias[::2] = torch.tensor(CONSTANTS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.made(x).relu()
            shuffled = y.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
            return self.some(shuffled[:, :4]) + self.rest(y)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Net().eval()
    small = Prune(ratio=0.5, criterion="l1", keep=("some", "rest"), absorb=True).apply(
        load(model, (torch.zeros(1, 3, 4, 4),)), torch.randn(8, 3, 4, 4)
    )
    x = torch.randn(4, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(small.module().eval()(x), model(x), rtol=0, atol=1e-5)


def test_a_budget_of_parameters_adds_none() -> None:
    torch.manual_seed(0)
    model = Reads(nn.Conv2d(8, 4, 1, bias=False)).eval()
    graph = load(model, (torch.zeros(1, 3, 4, 4),))
    small = Prune(parameters=0.5, criterion="l1", keep=("reader",), absorb=True).apply(graph, torch.randn(8, 3, 4, 4))
    assert "budget counts" in small.history[-1].details["not_absorbed"]["reader.weight"]
    assert small.parameters <= 0.5 * graph.parameters


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("norm", "statistics"),
        ("dynamic", "depends on the data"),
        ("mean", "taken of the channels"),
        ("scores", "two computed matrices"),
        ("shared", "shared"),
    ],
)
def test_what_cannot_absorb_is_named_with_its_reason(kind: str, why: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.made, self.other, self.read = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)
            self.norm = nn.LayerNorm(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.made(x).relu()
            if kind == "norm":
                return self.read(self.norm(y.movedim(1, -1)).movedim(-1, 1))  # type: ignore[no-any-return]
            if kind == "dynamic":
                return torch.nn.functional.linear(steps_of(y), self.other(x).mean(0).mean((1, 2))[None] * torch.ones(3, 1))
            if kind == "mean":
                return self.read(y) * y.mean(1, keepdim=True)
            if kind == "scores":
                return steps_of(y) @ self.other(x).flatten(2)
            return self.read(y) + self.read(self.other(x))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    small = Prune(ratio=0.5, criterion="l1", absorb=True).apply(
        load(Net().eval(), (torch.zeros(1, 3, 4, 4),)), torch.randn(8, 3, 4, 4)
    )
    assert why in "; ".join(small.history[-1].details["not_absorbed"].values())
