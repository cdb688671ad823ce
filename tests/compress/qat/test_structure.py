"""Ops in, ops out: what training starts from and what it leaves compute what they should, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch

import edgekit as ek
from edgekit.compress.qat.absorbing import absorb
from edgekit.compress.qat.attaching import attach
from edgekit.compress.qat.folding import fold
from edgekit.compress.qat.initial import gradient_scale, initial_steps
from edgekit.compress.qat.norms import Norm, recording_passes
from edgekit.compress.qat.types import weight_types
from edgekit.compress.qat.unfolding import unfold
from edgekit.compress.quantize.policy import TFLM
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.ir import Graph, ops
from edgekit.ir.quantized_data import quantize_constant
from edgekit.ir.text import parse
from edgekit.passes import DECOMPOSE, run_passes
from tests.trained import Cnn, cnn, digits

torch.set_num_threads(1)
X = torch.from_numpy(digits()[2])


def quantised(module: torch.nn.Module, policy: object = None) -> tuple[Graph, dict[str, Norm]]:
    norms: dict[str, Norm] = {}
    graph = ek.load(module, (torch.zeros(1, 1, 8, 8),))
    lowered, _ = run_passes(graph, (*recording_passes(norms), *DECOMPOSE))
    extra = {} if policy is None else {"policy": policy}
    batches = [[torch.from_numpy(digits()[0][:128])]]
    return quantize(lowered, batches, options=PostTraining(bias_correction=False), **extra)[0], norms


def run(graph: Graph, training: bool = False) -> torch.Tensor:
    module = copy.deepcopy(graph).module()
    with torch.no_grad():
        return module.train(training)(X)


def without_rounding(graph: Graph) -> Graph:
    """Every ``fake_quantize`` lets its input pass."""
    out = graph.copy()
    for node in out.nodes:
        if isinstance(node.op, ops.FakeQuantize):
            out.set_input(node, 1, None)
            node.op, node.inputs = ops.Identity(), node.inputs[:1]
    return out


def test_attached_and_absorbed_without_training_it_is_the_graph_that_calibration_made() -> None:
    graph, _ = quantised(cnn())
    attached = attach(graph, {}, "max")
    attached.verify()
    assert torch.equal(run(attached), run(graph))
    back = absorb(attached)
    back.verify()
    assert torch.equal(run(back), run(graph))
    for value in graph.values():
        twin = back.value(value.name)
        assert twin.quant == value.quant, value.name
        if value.is_constant and value.quant is not None:
            assert torch.equal(quantize_constant(twin.tensor, twin.quant), quantize_constant(value.tensor, value.quant))
    assert [node.op for node in back.nodes] == [node.op for node in graph.nodes]


@pytest.mark.parametrize("dtype", ["int8", "int4", "int2"])
def test_norms_that_are_taken_out_and_folded_again_change_no_bit(dtype: str) -> None:
    module = copy.deepcopy(cnn())
    with torch.no_grad():
        module.stem[1].weight[:5] *= -1  # a negative scale turns the weights around
        module.down[1].weight[3] = 0.0
    graph, norms = quantised(module)
    attached = attach(graph, dict.fromkeys(norms, dtype), "auto")
    student = attached.copy()
    assert unfold(student, norms, "auto") == {}
    student.verify()
    assert sum(isinstance(node.op, ops.BatchNorm) for node in student.nodes) == 4
    step = float(graph.outputs[0].quant.scale[0])
    # Biases are not rounded before the fold, so that an integer in between may differ by one.
    assert float((run(student) - run(attached)).abs().max()) <= 8 * step
    folded = fold(student)
    folded.verify()
    torch.testing.assert_close(run(folded), run(attached), rtol=0, atol=2 * step)
    assert {name for name in folded.state if "running" in name} == set()


def test_with_rounding_off_the_training_forward_is_the_sources_batch_norm() -> None:
    graph, norms = quantised(cnn())
    student = attach(graph, {}, "max")
    unfold(student, norms, "max")
    plain = without_rounding(student)
    source = copy.deepcopy(cnn()).train()
    with torch.no_grad():
        wanted = source(X)
    module = copy.deepcopy(plain).module().train()
    with torch.no_grad():
        got = module(X)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    buffers = dict(module.named_buffers())
    for name, buffer in source.named_buffers():
        sign = torch.sign(source.get_parameter(name.replace("running_mean", "weight"))) if "running_mean" in name else 1
        torch.testing.assert_close(buffers[name], buffer * sign, rtol=0, atol=1e-5)


def test_channels_that_a_norm_makes_next_to_nothing_of_move_no_faster_than_the_others_once_it_is_folded() -> None:
    """Folded weights of 1e-6 would be moved by many times their size; what is trained is the weight before the product."""
    module = copy.deepcopy(cnn())
    with torch.no_grad():
        module.down[1].weight[3] = 1e-5
    graph, norms = quantised(module)
    student = attach(graph, dict.fromkeys(norms, "int4"), "auto")
    unfold(student, norms, "auto")
    folded = fold(student)
    weight, step = folded.state["down.0.weight"], folded.state["edgekit_scales.down_0_weight"]
    torch.testing.assert_close(weight.tensor.abs(), cnn().down[0].weight.abs())
    network = folded.module().train()
    torch.nn.functional.cross_entropy(network(X), torch.from_numpy(digits()[3])).backward()
    for parameter in (weight.tensor, step.tensor):
        sizes = parameter.grad.flatten(1).norm(dim=1) if parameter.dim() > 1 else parameter.grad.abs()
        assert float(sizes[3]) < 1e-3 * float(sizes.median())


def test_a_scale_that_the_training_drove_away_is_an_error_that_names_it() -> None:
    graph, _ = quantised(cnn())
    attached = attach(graph, {}, "max")
    attached.state["edgekit_scales.relu"].data = torch.nn.Parameter(torch.tensor([-0.1]))
    with pytest.raises(ek.UsageError, match="drove the scale of 'relu") as caught:
        absorb(attached)
    assert "lr" in str(caught.value.hint)


def test_the_step_of_a_weight_stays_above_a_share_of_its_start() -> None:
    graph, _ = quantised(cnn())
    attached = attach(graph, {"down.0.weight": "int4"}, "lsq")
    step = attached.state["edgekit_scales.down_0_weight"]
    start = step.tensor.detach().clone()
    step.data = torch.nn.Parameter(torch.full_like(start, -1.0))
    scales = absorb(attached).value("down.0.weight").quant.scale
    assert scales == pytest.approx((start / 64).tolist())


def test_tied_values_share_one_learned_scale() -> None:
    text = """graph g(%x: float32[N,4,4,4])
  @w: float32[4,4,1,1] parameter
  @v: float32[4,4,1,1] parameter
  %a: float32[N,4,4,4] = conv2d(%x, @w, none)
  %b: float32[N,4,4,4] = conv2d(%x, @v, none)
  %c: float32[N,8,4,4] = concat(%a, %b, axis=1)
  %p: float32[N,8,2,2] = max_pool2d(%c, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))
  return %p
"""
    graph = parse(text)
    torch.manual_seed(0)
    for name in ("w", "v"):
        graph.state[name].data = torch.nn.Parameter(torch.randn(4, 4, 1, 1))
    made, _ = quantize(graph, [[torch.randn(8, 4, 4, 4)]], options=PostTraining(bias_correction=False))
    attached = attach(made, {}, "max")
    rounding = [node for node in attached.nodes if isinstance(node.op, ops.FakeQuantize)]
    scales = {node.output.name: node.input(1) for node in rounding}
    assert scales["a"] is scales["b"] is scales["c"] and "p" not in scales
    absorbed = absorb(attached)
    assert absorbed.value("p").quant == absorbed.value("a").quant == made.value("p").quant
    x = torch.randn(3, 4, 4, 4)
    assert torch.equal(absorbed.module().eval()(x), made.module().eval()(x))


def test_a_norm_behind_a_weight_with_one_step_stays_folded_and_is_named() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    torch.manual_seed(0)
    graph, norms = quantised(Net().eval(), TFLM)
    student = attach(graph, {}, "max")
    left = unfold(student, norms, "max")
    assert list(left) == ["layers.1.weight"] and "one step for all channels" in left["layers.1.weight"]
    assert torch.equal(run(student), run(graph))


def test_a_frozen_norm_of_the_source_stays_folded() -> None:
    graph, norms = quantised(cnn())
    first = next(iter(norms))
    frozen = {**norms, first: Norm(**{**norms[first].__dict__, "op": norms[first].op.with_(frozen=True)})}
    student = attach(graph, {}, "max")
    assert list(unfold(student, frozen, "max")) == [first]
    assert sum(isinstance(node.op, ops.BatchNorm) for node in student.nodes) == len(norms) - 1


def test_first_last_and_depthwise_layers_keep_eight_bits_unless_they_are_named() -> None:
    graph, _ = quantised(Cnn().eval())
    names = ["stem.0.weight", "down.0.weight", "depth.0.weight", "point.0.weight", "head.weight"]
    assert list(weight_types(graph, "int4", {}, True).items()) == list(
        zip(names, ["int8", "int4", "int8", "int4", "int8"], strict=True)
    )
    assert [weight_types(graph, "int4", {}, False)[name] for name in names] == ["int4", "int4", "int8", "int4", "int4"]
    chosen = weight_types(graph, "int4", {"head": "int2", "depth": "int4", "down.0.weight": "int8"}, True)
    assert [chosen[name] for name in names] == ["int8", "int8", "int4", "int4", "int2"]
    with pytest.raises(ek.UsageError, match="'heed'"):
        weight_types(graph, "int4", {"heed": "int2"}, True)


def test_steps_start_as_the_paper_says_or_where_the_rounding_error_is_least() -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 5, 3, 3) * torch.tensor([0.1, 1.0, 10.0]).reshape(3, 1, 1, 1)
    by_paper = initial_steps(weight, 0, -8, 7, "lsq")
    assert by_paper.tolist() == pytest.approx([2 * float(w.abs().mean()) / 7**0.5 for w in weight], rel=1e-6)
    assert initial_steps(weight, 0, -127, 127, "auto").tolist() == pytest.approx(
        [float(w.abs().max()) / 127 for w in weight], rel=1e-6
    )
    assert initial_steps(weight, 0, -2, 1, "max").tolist() == pytest.approx(
        [max(float(w.max()), -float(w.min()) / 2) for w in weight], rel=1e-6
    )

    def error(steps: torch.Tensor) -> list[float]:
        s = steps.reshape(3, 1, 1, 1)
        return ((weight / s).round().clamp(-7, 7) * s - weight).square().flatten(1).sum(1).tolist()

    best = error(initial_steps(weight, 0, -7, 7, "mse"))
    for start in ("lsq", "max"):
        assert all(a <= b * 1.02 for a, b in zip(best, error(initial_steps(weight, 0, -7, 7, start)), strict=True))
    assert gradient_scale(90, -8, 7) == pytest.approx(1 / (90 * 7) ** 0.5)
    assert gradient_scale(4, 0, 255) == pytest.approx(1 / (4 * 255) ** 0.5)
