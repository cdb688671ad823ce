"""The graph as a module: it shares tensors, trains, has the source's names and call, and survives what is done to modules."""

from __future__ import annotations

import copy
import gc
import io
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from edgekit.ir import Graph, N, QuantParams, Signature, TensorType, Value, ops
from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.module import GraphModule
from edgekit.ir.text import parse, to_text
from tests.ir import networks


class Net(nn.Module):
    """A small network with tied weights, a buffer and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("offset", torch.tensor([0.5]), persistent=False)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> dict[str, torch.Tensor]:
        y = torch.relu(self.bn(self.conv(x))).mean((2, 3))
        return {"logits": self.second(self.first(y)) + self.offset, "features": y}


def as_graph(net: Net) -> Graph:
    g = Graph("net")
    x = g.add_input("x", TensorType(torch.float32, (N, 2, 8, 8)))
    bn = net.bn
    state = {name: g.add_state(name, p) for name, p in net.named_parameters(remove_duplicate=True)}
    g.add_state("second.weight", state["first.weight"])
    for name, buffer in net.named_buffers():
        assert buffer is not None
        state[name] = g.add_state(name, buffer, transient=name == "offset")
    y = g.add(ops.Conv2d(padding=((1, 1), (1, 1))), x, state["conv.weight"])
    stats = [state[f"bn.{n}"] for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    y = g.add(ops.Relu(), g.add(ops.BatchNorm(bn.eps, bn.momentum), y, *stats))
    y = g.add(ops.Mean((2, 3)), y)
    z = g.add(ops.Linear(), g.add(ops.Linear(), y, state["first.weight"]), state["first.weight"])
    g.outputs = [g.add(ops.Add(), z, state["offset"]), y]
    spec = pytree.tree_flatten(((torch.zeros(1),), {"scale": 1.0}))[1]
    out = pytree.tree_flatten({"logits": 0, "features": 1})[1]
    g.signature = Signature(
        ("x", "scale"), pytree.treespec_dumps(spec), pytree.treespec_dumps(out), (0, None), (None, 1.0), (0, 1), (None, None)
    )
    return g


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def batch(size: int = 5) -> torch.Tensor:
    return torch.randn(size, 2, 8, 8, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("training", [False, True])
def test_it_computes_and_trains_as_the_source_does(net: Net, training: bool) -> None:
    twin = copy.deepcopy(net)
    module = as_graph(net).module()
    module.train(training)
    twin.train(training)
    ours, theirs = module(batch(), scale=1.0), twin(batch())
    assert list(ours) == ["logits", "features"]
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])
    ours["logits"].square().sum().backward()
    theirs["logits"].square().sum().backward()
    for (name, a), (_, b) in zip(net.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), (_, b) in zip(net.named_buffers(), twin.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_it_shares_the_tensors_of_the_graph(net: Net) -> None:
    graph = as_graph(net)
    module = graph.module()
    assert dict(module.named_parameters())["conv.weight"] is net.conv.weight
    with torch.no_grad():
        net.conv.weight.zero_()
    dark = module.eval()(batch(), scale=1.0)["features"]
    torch.testing.assert_close(dark, torch.relu(net.bn.eval()(torch.zeros(5, 4, 8, 8))).mean((2, 3)))
    assert module.graph is graph and graph.module().graph is graph


def test_state_dict_keys_are_the_sources_and_load_both_ways(net: Net) -> None:
    module = as_graph(net).module()
    assert set(module.state_dict()) == set(net.state_dict())
    other = Net()
    other.load_state_dict(module.state_dict(), strict=True)
    module.load_state_dict(Net().state_dict(), strict=True)
    assert module.get_parameter("first.weight") is module.get_parameter("second.weight")
    assert len(list(module.parameters())) == len(list(net.parameters()))


def test_a_deep_copy_owns_its_graph(net: Net) -> None:
    module = as_graph(net).module().eval()
    before = module(batch(), scale=1.0)["logits"]
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(module(batch(), scale=1.0)["logits"], before)
    assert twin.graph is not module.graph and not twin.training
    assert twin.graph.state["first.weight"].tensor is twin.get_parameter("first.weight")
    assert twin.get_parameter("first.weight") is twin.get_parameter("second.weight")


def test_it_pickles(net: Net) -> None:
    module = as_graph(net).module().eval()
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for twin in (pickle.loads(pickle.dumps(module)), torch.load(file, weights_only=False)):
        torch.testing.assert_close(twin(batch(), scale=1.0)["logits"], module(batch(), scale=1.0)["logits"])
        assert to_text(twin.graph) == to_text(module.graph) and not twin.training


def test_to_changes_the_graphs_tensors_too(net: Net) -> None:
    module = as_graph(net).module().eval().to(torch.float64)
    graph = module.graph
    assert all(v.tensor.dtype == torch.float64 for v in graph.constants() if v.name != "bn.num_batches_tracked")
    assert graph.state["bn.running_mean"].tensor is module.get_buffer("bn.running_mean")
    assert module(batch().double(), scale=1.0)["logits"].dtype == torch.float64


def test_after_training_the_graph_has_the_trained_weights(net: Net) -> None:
    graph = as_graph(net)
    module = graph.module().train()
    before = graph.state["conv.weight"].tensor.detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module(batch(), scale=1.0)["logits"].square().mean().backward()
        optimizer.step()
    assert not torch.equal(graph.state["conv.weight"].tensor, before)
    assert int(graph.state["bn.num_batches_tracked"].tensor) == 2


def test_any_batch_runs_and_other_shapes_are_refused(net: Net) -> None:
    module = as_graph(net).module().eval()
    for size in (1, 2, 64):
        assert module(batch(size), scale=1.0)["logits"].shape == (size, 4)
    with pytest.raises(ValueError, match=r"input 'x' is float32\[N,2,8,8\]"):
        module(torch.zeros(1, 3, 8, 8), scale=1.0)


def test_calls_that_differ_from_the_sources_are_refused(net: Net) -> None:
    module = as_graph(net).module().eval()
    torch.testing.assert_close(module(x=batch(), scale=1.0)["logits"], module(batch(), 1.0)["logits"])
    for args, kwargs in (((), {}), ((batch(),), {"scale": 2.0}), ((batch(),), {"scale": 1.0, "more": 1}), ((batch(),) * 3, {})):
        with pytest.raises(TypeError):
            module(*args, **kwargs)
    plain = parse("graph g(%x: float32[N,3])\n %y = relu(%x)\n return %y, %x").module()
    assert isinstance(plain(torch.ones(1, 3)), tuple)
    with pytest.raises(TypeError, match="takes 1 positional"):
        plain(torch.ones(1, 3), torch.ones(1, 3))


def test_constants_of_the_graphs_own_stay_out_of_the_state_dict() -> None:
    module = parse("graph g(%x: float32[N,3])\n @c: float32[3] = [1, 2, 3]\n %y = add(%x, @c)\n return %y").module()
    assert module.state_dict() == {}
    assert module.double().graph.value("c").tensor.dtype == torch.float64


def test_observers_see_and_may_replace_values() -> None:
    module = parse(
        "graph g(%x: float32[N,3])\n @c: float32[3] = [1, 2, 3]\n %y = add(%x, @c)\n %z = relu(%y)\n return %z"
    ).module()
    seen: list[str] = []

    def look(value: Value, tensor: torch.Tensor) -> torch.Tensor | None:
        seen.append(value.name)
        return torch.full_like(tensor, 7.0) if value.name == "y" else None

    (z,) = module.run([torch.zeros(1, 3)], observe=look)
    assert seen == ["x", "y", "z"] and z.tolist() == [[7.0, 7.0, 7.0]]


def test_values_with_quant_are_rounded_with_a_straight_through_gradient() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @w: float32[4] parameter\n %y = mul(%x, @w)\n return %y")
    graph.value("y").quant = QuantParams("int8", (0.5,), (1,))
    module = graph.module()
    x = torch.tensor([[0.3, -0.8, 100.0, 0.0]])
    with torch.no_grad():
        module.get_parameter("w").fill_(1.0)
    y = module(x)
    assert y.tolist() == [[0.5, -1.0, 63.0, 0.0]]
    y.sum().backward()
    torch.testing.assert_close(module.get_parameter("w").grad, torch.tensor([0.3, -0.8, 0.0, 0.0]))


def test_fake_quantisation_per_channel_agrees_with_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, generator=generator)
    scale, zero = torch.tensor([0.1, 0.02, 0.5]), torch.tensor([0, 3, -5], dtype=torch.int32)
    ours = fake_quantize(x, QuantParams("int8", tuple(scale.tolist()), tuple(zero.tolist()), 0))
    theirs = torch.fake_quantize_per_channel_affine(x, scale, zero, 0, -128, 127)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("build", [networks.resnet20, networks.vit, networks.lstm_classifier, networks.inverted_residuals])
def test_networks_run_at_any_batch_with_equal_rows(build: object) -> None:
    graph = build()  # type: ignore[operator]
    module = graph.module().eval()
    shape = graph.inputs[0].type.at(3)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, single = module.run([x]), module.run([x[1:2]])
    for a, b in zip(whole, single, strict=True):
        torch.testing.assert_close(a[1:2], b, rtol=1e-4, atol=1e-4)


def test_a_recurrent_layer_that_reads_the_input_trains_compiled() -> None:
    graph = Graph("net")
    x = graph.add_input("x", TensorType(torch.float32, (N, 5, 3)))
    shapes = {"w_ih": (16, 3), "w_hh": (16, 4), "b_ih": (16,), "b_hh": (16,)}
    weights = [graph.add_state(name, torch.nn.Parameter(torch.randn(shape))) for name, shape in shapes.items()]
    graph.outputs = [graph.add_node(ops.Lstm(4), [x, None, None, *weights]).outputs[0]]
    module, data = graph.module().train(), torch.randn(2, 5, 3)
    module(data).sum().backward()
    wanted = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
    module.zero_grad()
    torch.compile(module, backend="aot_eager")(data).sum().backward()
    assert len(wanted) == 4
    for parameter, gradient in zip(module.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_module_is_compiled_by_torch() -> None:
    module = parse("graph g(%x: float32[N,4])\n @w: float32[3,4] parameter\n %y = linear(%x, @w)\n return %y").module().eval()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(torch.ones(2, 4)), module(torch.ones(2, 4)))


def test_it_runs_under_autocast_as_the_source_does(net: Net) -> None:
    module = as_graph(net).module().eval()
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = module(batch(), scale=1.0)["logits"], net.eval()(batch())["logits"]
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs)


def test_it_trains_in_a_distributed_wrapper(net: Net, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        module = as_graph(net).module().train()
        wrapped = nn.parallel.DistributedDataParallel(module)
        wrapped(batch(), scale=1.0)["logits"].sum().backward()
        assert module.get_parameter("conv.weight").grad is not None
        # The wrapper must not be the group's last owner: it waits for gloo's threads with the GIL, which they may wait for.
        del wrapped
        gc.collect()
    finally:
        torch.distributed.destroy_process_group()


def test_it_is_a_module_with_the_sources_tree() -> None:
    module = as_graph(Net()).module()
    assert isinstance(module, GraphModule)
    assert {"conv", "bn", "first", "second"} <= {name for name, _ in module.named_children()}
