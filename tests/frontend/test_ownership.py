"""The graph's module has the source's state, call and result, and does what modules do."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from edgekit import Unsupported
from edgekit.frontend.source import load
from edgekit.ir.module import GraphModule
from tests.frontend.compare import assert_equal

torch.set_num_threads(1)


class Net(nn.Module):
    """Tied weights, an unused parameter, buffers of both kinds, and a shared block."""

    scale: torch.Tensor
    table: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("scale", torch.full((4, 1, 1), 1.5))
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.unused = nn.Linear(2, 2)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (torch.relu(self.norm(self.conv(x))) * self.scale).mean((2, 3)) + self.table
        return self.again(self.second(self.first(y)))


X = torch.randn(2, 3, 8, 8)


@pytest.fixture
def source() -> Net:
    torch.manual_seed(5)
    return Net().eval()


def test_parameters_and_buffers_are_the_users_own(source: Net) -> None:
    graph = load(source, (X,))
    run = graph.module()
    mine, theirs = dict(run.named_parameters()), dict(source.named_parameters())
    assert all(mine[name] is theirs[name] for name in theirs)
    assert all(a is b for a, b in zip(run.buffers(), source.buffers(), strict=True))
    assert graph.state["second.weight"] is graph.state["first.weight"] is graph.state["again.weight"]
    assert graph.transient == {"table"}


def test_state_dicts_have_the_sources_keys_in_its_order_and_load_both_ways(source: Net) -> None:
    run = load(source, (X,)).module().eval()
    assert list(run.state_dict()) == list(source.state_dict())
    other = Net().eval()
    run.load_state_dict(other.state_dict(), strict=True)
    assert_equal(run(X), other(X), 1e-6)
    third = Net().eval()
    third.load_state_dict(run.state_dict(), strict=True)
    assert_equal(run(X), third(X), 1e-6)


def test_tied_weights_stay_tied_in_training(source: Net) -> None:
    run = load(source, (X,)).module()
    optimizer = torch.optim.SGD(run.parameters(), lr=0.1)
    run(torch.randn(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = run.state_dict()
    assert torch.equal(state["first.weight"], state["second.weight"])
    assert len(list(run.parameters())) == len(list(source.parameters()))


def test_the_users_module_is_left_as_it_is(source: Net) -> None:
    source.train()
    source.norm.eval()
    source.conv.weight.requires_grad_(False)
    calls: list[str] = []
    source.conv.register_forward_hook(lambda *_: calls.append("conv"))
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    attributes = {name: set(vars(part)) for name, part in source.named_modules()}
    load(source, (X,))
    assert source.training and source.conv.training and not source.norm.training
    assert not source.conv.weight.requires_grad and source.first.weight.requires_grad
    assert len(source.conv._forward_hooks) == 1
    assert {name: set(vars(part)) for name, part in source.named_modules()} == attributes
    assert_equal(dict(source.state_dict()), before, 0.0)


def test_a_module_that_cannot_be_copied_is_left_as_it_is_too() -> None:
    class Uncopied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)
            self.generator = (i for i in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.feature = self.layer(x)
            return self.feature

    module = Uncopied().train()
    attributes = set(vars(module))
    graph = load(module, (torch.randn(2, 6),))
    assert module.training and set(vars(module)) == attributes
    assert len(graph.nodes) == 1


def test_weight_norm_of_the_old_kind_is_computed_in_the_graph() -> None:
    with pytest.warns(FutureWarning):
        module = nn.utils.weight_norm(nn.Linear(6, 3))
    x = torch.randn(2, 6)
    run = load(module, (x,)).module()
    assert_equal(run(x), module(x), 1e-6)
    assert type(module.weight) is torch.Tensor
    assert list(run.state_dict()) == list(module.state_dict())


def test_modes_types_and_copies_do_what_they_do_for_the_source(source: Net) -> None:
    run = load(copy.deepcopy(source), (X,)).module()
    assert run.training and not run.eval().training
    double = copy.deepcopy(run).to(torch.float64)
    assert double(X.double()).dtype == torch.float64 and run(X).dtype == torch.float32
    assert_equal(double(X.double()).float(), run(X), 1e-5)
    assert double.graph.state["conv.weight"].data is double.get_parameter("conv.weight")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_equal(run(X), source(X), 1e-1)
    twin = copy.deepcopy(run)
    with torch.no_grad():
        twin.get_parameter("conv.weight").zero_()
    assert_equal(run(X), source(X), 1e-6)


def test_pickling_keeps_function_mode_and_ties(source: Net) -> None:
    run = load(source, (X,)).module().eval()
    twin = pickle.loads(pickle.dumps(run))
    assert isinstance(twin, GraphModule) and not twin.training
    assert_equal(twin(X), run(X), 0.0)
    assert twin.graph.state["second.weight"] is twin.graph.state["first.weight"]
    buffer = io.BytesIO()
    torch.save(run.state_dict(), buffer)
    buffer.seek(0)
    assert list(torch.load(buffer, weights_only=True)) == list(source.state_dict())


def test_compiling_keeps_the_function(source: Net) -> None:
    run = load(source, (X,)).module().eval()
    compiled = torch.compile(run, backend="eager", fullgraph=True)
    for batch in (2, 5, 3):
        x = torch.randn(batch, 3, 8, 8)
        assert_equal(compiled(x), source(x), 1e-6)


@pytest.fixture
def process_group(tmp_path: Any) -> Iterator[None]:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_distributed_data_parallel_trains_the_graph() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    run = load(copy.deepcopy(module), (torch.randn(2, 6),)).module()
    parallel = nn.parallel.DistributedDataParallel(run)
    x = torch.randn(4, 6)
    parallel(x).sum().backward()
    module(x).sum().backward()
    for mine, theirs in zip(run.parameters(), module.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad)


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class Structured(nn.Module):
    def forward(self, image: torch.Tensor, *, extra: dict[str, torch.Tensor], pair: Any = None) -> dict[str, Any]:
        y = image + extra["a"] * extra["b"]
        return {"z": y, "a": [y * 2, (image, 5, None, "text")], "same": y, "constant": torch.ones(2)}


def test_calls_and_results_have_the_sources_structure() -> None:
    given = {"image": torch.randn(2, 3), "extra": {"b": torch.randn(2, 3), "a": torch.randn(2, 3)}}
    module = Structured()
    graph = load(module, given)
    run = graph.module()
    assert_equal(run(**given), module(**given), 0.0)
    assert_equal(run(given["image"], extra=given["extra"]), module(**given), 0.0)  # by position or by name
    with pytest.raises(TypeError):
        run(given["image"])


def test_named_tuples_and_registered_dataclasses_come_back() -> None:
    class Tuples(nn.Module):
        def forward(self, pair: Pair) -> Any:
            return Pair(pair.right, pair.left * 2)

    given = Pair(torch.randn(2, 3), torch.randn(2, 3))
    run = load(Tuples(), {"pair": given}).module()
    result = run(pair=given)
    assert isinstance(result, Pair) and torch.equal(result.right, given.left * 2)


def test_parametrized_weights_keep_their_names() -> None:
    module = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))
    x = torch.randn(2, 6)
    run = load(module, (x,)).module()
    assert list(run.state_dict()) == list(module.state_dict())
    assert_equal(run(x), module(x), 1e-6)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.LazyLinear(3), "has no shape yet"),
        (nn.Linear(3, 3, device="meta"), "has no data"),
        (nn.Linear(3, 3, dtype=torch.complex64), "is complex"),
    ],
)
def test_state_that_is_no_plain_tensor_is_refused_by_name(module: nn.Module, message: str) -> None:
    with pytest.raises(Unsupported, match=rf"'weight' {message}"):
        load(module, (torch.randn(2, 3),))


def test_a_graph_and_its_module_load_as_themselves(source: Net) -> None:
    graph = load(source, (X,))
    assert load(graph) is graph and load(graph.module()) is graph
