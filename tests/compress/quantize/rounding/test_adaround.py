"""Rounding that learns: its formulas, what it may change, and when it gives way to rounding to nearest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.compress.quantize.post_training import PostTraining
from edgekit.compress.quantize.rounding.adaround import Problem, beta_at, learn, rectified_sigmoid
from edgekit.errors import UsageError
from edgekit.ir.quant import QuantParams
from edgekit.ir.quantized_data import dequantize, quantize_constant
from edgekit.ir.text import parse
from edgekit.precision import Precision, PrecisionPlan
from tests.compress.quantize.prepared import prepared, quantized, sqnr

FOUR_BITS = PrecisionPlan(Precision("int4", "int8"))
QUICK = PostTraining("min_max", rounding="adaround", rounding_iterations=120)
NEAREST = PostTraining("min_max")

TEXT = """
graph g(%x: float32[N,4,8,8])
  @v: float32[8,4,3,3]
  @d: float32[8,1,3,3]
  @t: float32[8,6,2,2]
  @u: float32[5,6]
  @b: float32[5]
  %a = conv2d(%x, @v, padding=((1, 1), (1, 1)), activation='relu')
  %c = conv2d(%a, @d, groups=8, activation='relu')
  %e = conv_transpose2d(%c, @t, stride=(2, 2), activation='relu')
  %m = mean(%e, axes=(2, 3))
  %y = linear(%m, @u, @b)
  return %y
"""


def problem(*, limits: tuple[int, int] = (-7, 7), rows: int = 400, correlated: bool = True) -> Problem:
    """A layer whose inputs move together, so that errors of its weights can cancel out."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(rows, 1, 1, generator=generator) if correlated else 0.0
    x = common + 0.3 * torch.randn(rows, 1, 24, generator=generator)
    w = torch.randn(1, 6, 24, generator=generator)
    scale = w.abs().amax(2, keepdim=True) / limits[1]
    bias = torch.randn(1, 6, generator=generator)
    targets = (torch.einsum("mgi,goi->mgo", x, w) + bias).relu()
    return Problem(w, scale, limits, bias, x, targets, "relu")


def test_the_rectified_sigmoid_reaches_zero_and_one() -> None:
    v = torch.linspace(-6, 6, 41)
    wanted = np.clip(1.2 / (1 + np.exp(-v.double().numpy())) - 0.1, 0, 1)
    np.testing.assert_allclose(rectified_sigmoid(v).numpy(), wanted, atol=1e-6)
    assert float(rectified_sigmoid(torch.tensor(-3.0))) == 0.0 and float(rectified_sigmoid(torch.tensor(3.0))) == 1.0
    assert (beta_at(0.0), beta_at(1.0)) == (20.0, 2.0)


def test_the_error_is_that_of_the_layer() -> None:
    given = problem()
    integers = given.nearest()
    out = torch.nn.functional.linear(given.rows[:, 0], (integers * given.scale)[0], given.bias[0]).relu()
    wanted = float((out - given.targets[:, 0]).square().mean())
    assert float(given.error(integers, given.rows, given.targets)) == pytest.approx(wanted, rel=1e-5)


def test_learned_integers_are_neighbours_of_the_weights_and_better_than_the_nearest() -> None:
    given = problem()
    learned = learn(given, iterations=200, seed=0)
    steps = given.weight / given.scale
    assert bool(((learned == steps.floor()) | (learned == steps.floor() + 1)).all())
    assert bool((learned >= -7).all()) and bool((learned <= 7).all())
    errors = [float(given.error(q, given.rows, given.targets)) for q in (given.nearest(), learned)]
    assert errors[1] < 0.5 * errors[0]


def test_zeros_and_codebooks_stay_what_they_are() -> None:
    text = (
        "graph g(%x: float32[N,32])\n@w: float32[16,32]\n@u: float32[16,16]\n@c: float32[8,16]\n"
        "%a = linear(%x, @w, activation='relu')\n%b = linear(%a, @u)\n%y = linear(%b, @c)\nreturn %y"
    )
    graph = parse(text)
    generator = torch.Generator().manual_seed(2)
    w, u = graph.value("w").tensor, graph.value("u").tensor
    w[torch.rand(w.shape, generator=generator) < 0.7] = 0.0
    u.copy_(torch.tensor([-0.31, 0.0, 0.17, 0.42])[torch.randint(4, u.shape, generator=generator)])
    x = torch.randn(64, 32, generator=generator) + 1
    after, record = quantized(graph, batches=[[x[:32]], [x[32:]]], options=QUICK, plan=FOUR_BITS)
    assert [row.weight for row in record.rounded] == ["w", "c"]
    assert torch.equal(after.value("w").tensor == 0, (after.value("w").tensor == 0) | (w == 0))
    assert len(torch.unique(after.value("u").tensor)) == 4


def test_the_same_seed_gives_the_same_integers() -> None:
    given = problem()
    assert torch.equal(learn(given, iterations=50, seed=1), learn(given, iterations=50, seed=1))


def test_every_search_over_two_weights_agrees() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(500, 1, 1, generator=generator) * torch.tensor([[[1.0, 1.0]]])
    w = torch.tensor([[[1.4, 2.4]]])  # both nearest go down and miss 0.8 together; one up misses 0.2
    given = Problem(w, torch.ones(1, 1, 1), (-7, 7), None, x, torch.einsum("mgi,goi->mgo", x, w))
    learned = learn(given, iterations=500, seed=0)
    assert float(learned.sum()) == 4.0 and float(given.nearest().sum()) == 3.0


def batches() -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [[torch.rand(16, 4, 8, 8, generator=generator) + torch.rand(16, 1, 1, 1, generator=generator)] for _ in range(4)]


def test_a_network_gains_and_its_integers_are_the_learned_ones() -> None:
    data = batches()
    plain, _ = quantized(TEXT, batches=data, options=NEAREST, plan=FOUR_BITS)
    learned, record = quantized(TEXT, batches=data, options=QUICK, plan=FOUR_BITS)
    assert [row.weight for row in record.rounded] == ["v", "d", "t", "u"]
    assert sqnr(learned, prepared(TEXT)) > sqnr(plain, prepared(TEXT)) + 1
    before = prepared(TEXT)
    for name, row in zip("vdtu", record.rounded, strict=True):
        value, old = learned.value(name), before.value(name)
        quant = value.quant
        assert quant is not None and quant.dtype == ("int4" if name in "vu" else "int8")  # no runtime takes the others in 4
        integers = quantize_constant(value.tensor, quant)
        if row.kept:  # the data lies on the grid: the one integer function gives these integers, whatever its rounding
            torch.testing.assert_close(dequantize(integers, quant), value.tensor, rtol=1e-6, atol=0)
            steps = old.tensor.double() / quant.tensors(old.type.rank)[0].double()
            assert float((integers.double() - steps).abs().max()) <= 1.0 + 1e-6
        assert quant == plain.value(name).quant


def test_rounding_that_does_not_help_unseen_samples_is_not_kept() -> None:
    text = "graph g(%x: float32[N,64])\n@w: float32[4,64]\n%y = linear(%x, @w)\nreturn %y"
    generator = torch.Generator().manual_seed(1)
    few = [[torch.randn(2, 64, generator=generator)] for _ in range(2)]  # two samples to learn from: nothing carries over
    after, record = quantized(text, batches=few, options=QUICK, plan=FOUR_BITS)
    (row,) = record.rounded
    assert not row.kept and row.learned >= row.nearest and row.changed > 0
    assert torch.equal(after.value("w").tensor, prepared(text).value("w").tensor)


def test_progress_is_told_and_shared_weights_are_left_alone() -> None:
    text = (
        "graph g(%x: float32[N,6])\n@w: float32[6,6]\n@u: float32[6,6]\n%a = linear(%x, @w)\n%b = linear(%a, @u)\n"
        "%y = linear(%b, @w)\nreturn %y"
    )
    from edgekit.compress.quantize.post_training import quantize

    told: list[str] = []
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    _, record = quantize(parse(text), [[x[:32]], [x[32:]]], options=QUICK, say=told.append)
    assert [row.weight for row in record.rounded] == ["u"] and told[0].startswith("rounding u: error ")


def test_bias_correction_still_compares_with_the_float_weights() -> None:
    data = batches()
    after, record = quantized(TEXT, batches=data, options=QUICK, plan=FOUR_BITS)
    assert record.corrected == ["v", "d", "t", "u"]
    x = torch.cat([batch[0] for batch in data])
    with torch.no_grad():
        wanted, got = (graph.module().eval().run([x])[0] for graph in (prepared(TEXT), after))
    error = (wanted - got).mean(0).abs()
    assert float(error.max()) < 0.05 * float(wanted.std())


def test_int8_and_an_unknown_rounding() -> None:
    after, record = quantized(TEXT, batches=batches(), options=QUICK)
    assert len(record.rounded) == 4 and isinstance(after.value("v").quant, QuantParams)
    with pytest.raises(UsageError, match="unknown rounding 'stochastic'") as error:
        PostTraining(rounding="stochastic")
    assert error.value.hint == "choose from nearest, adaround"
    with pytest.raises(UsageError, match="'rounding_iterations' is a number from 1"):
        PostTraining(rounding_iterations=0)
