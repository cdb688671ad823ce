"""The curves of the output-error observer, against the formulas evaluated directly."""

from __future__ import annotations

import math

import pytest
import torch

from edgekit.compress.quantize.curves import SHARES, Activation, End, Sensitivity
from edgekit.compress.quantize.params import activation_params
from edgekit.compress.quantize.sensitivity import best_range, logits, measure
from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.text import parse


def direct_clipping(x: torch.Tensor, g: torch.Tensor, end: float, share: float) -> tuple[float, float]:
    """sum over samples of (sum over x_i beyond of g_i (limit - x_i))^2, and how many lie beyond; element by element."""
    limit, error, beyond = share * end, 0.0, 0
    for sample in range(len(x)):
        moved = 0.0
        for value, gradient in zip(x[sample].tolist(), g[sample].tolist(), strict=True):
            if (end > 0 and value > limit) or (end < 0 and value < limit):
                moved += gradient * (limit - value)
                beyond += 1
        error += moved**2
    return error, beyond


def test_the_curves_of_one_activation_are_the_formulas() -> None:
    generator = torch.Generator().manual_seed(0)
    x, g = torch.randn(3, 40, generator=generator).double(), torch.randn(3, 40, generator=generator).double()
    x[0, :5] = 0.0
    low, high = float(x.min()), float(x.max())
    found = Activation(x, low, high).curves(g, 1.0)
    assert found.rounding == pytest.approx(float(sum(b**2 for a, b in zip(x.flatten(), g.flatten(), strict=True) if a != 0)))
    assert found.elements == 3 * 40 - 5
    for end, curve in ((high, found.high), (low, found.low)):
        for index in (0, 13, 45, 60, 90):
            error, beyond = direct_clipping(x, g, end, float(SHARES[index]))
            assert float(curve.error[index]) == pytest.approx(error, rel=1e-6, abs=1e-12)
            assert float(curve.beyond[index]) == beyond


def test_an_end_at_zero_has_no_curve() -> None:
    x = torch.rand(2, 10)
    found = Activation(x, 0.0, float(x.max())).curves(torch.ones(2, 10), 1.0)
    assert not found.low.error.any() and found.high.error.any()


def test_values_and_batches_add_up() -> None:
    x, g = torch.randn(4, 30), torch.randn(4, 30)
    low, high = float(x.min()), float(x.max())
    whole = Activation(x, low, high).curves(g, 1.0)
    parts = Sensitivity()
    for half in (slice(0, 1), slice(1, 4)):
        parts.add(Activation(x[half], low, high).curves(g[half], 1.0))
    assert parts.rounding == pytest.approx(whole.rounding) and parts.elements == whole.elements
    torch.testing.assert_close(parts.high.error, whole.high.error)
    torch.testing.assert_close(parts.low.beyond, whole.low.beyond)


def test_what_was_not_seen_is_an_exponential_excess_beyond_the_largest() -> None:
    """The integral over the tail, numerically: the excess has the mean of the ten largest elements' own excess."""
    end = 2.0
    x = torch.linspace(0.0, end, 401).double().reshape(1, -1)
    curve = Activation(x, 0.0, end).curves(torch.ones_like(x), 1.0).high
    spacing = end * float(SHARES[1] - SHARES[0])
    first = max(i for i in range(len(SHARES)) if float(curve.beyond[i]) >= 10)
    # the mean excess of the elements above that share, to the grid's resolution
    mean = spacing * float(curve.beyond[first:].sum()) / float(curve.beyond[first]) + spacing
    excess = torch.linspace(0.0, 60.0 * mean, 400_001, dtype=torch.float64)
    density = torch.exp(-excess / mean) / mean
    for index in (0, 30, 60, 75, 90):
        limit = float(SHARES[index]) * end
        wanted = float(torch.trapezoid((end + excess - limit).clamp(min=0.0).square() * density, excess))
        assert float(curve.unseen(end)[index]) == pytest.approx(wanted, rel=1e-4)


def test_the_cost_that_is_minimised_is_rounding_plus_clipping_plus_the_unseen() -> None:
    generator = torch.Generator().manual_seed(3)
    x, g = torch.randn(8, 200, generator=generator).double() ** 3, torch.randn(8, 200, generator=generator).double()
    low, high = float(x.min()), float(x.max())
    curves = Activation(x, low, high).curves(g, 1.0)
    importance = curves.rounding / curves.elements

    def cost(i: int, j: int) -> float:
        step = (float(SHARES[j]) * high - float(SHARES[i]) * low) / 255
        clip = float(curves.low.error[i] + curves.high.error[j])
        unseen = float(curves.low.unseen(low)[i] + curves.high.unseen(high)[j])
        return step**2 / 12 * curves.rounding + clip + importance * unseen

    best = min(((i, j) for i in range(len(SHARES)) for j in range(len(SHARES))), key=lambda p: cost(*p))
    found = best_range(low, high, curves)
    assert found == pytest.approx((float(SHARES[best[0]]) * low, float(SHARES[best[1]]) * high))
    assert 1.3 * low <= found[0] <= 0.0 <= found[1] <= 1.3 * high


def test_without_curves_the_range_is_what_was_seen() -> None:
    assert best_range(1.0, 2.0, Sensitivity()) == (0.0, 2.0)
    assert best_range(0.0, 0.0, Sensitivity(rounding=1.0, elements=1.0)) == (0.0, 0.0)


LINEAR = """
graph g(%x: float32[N,6])
  @v: float32[5,6]
  @w: float32[3,5]
  %h = linear(%x, @v)
  %y = linear(%h, @w)
  return %y
"""


def test_gradients_are_those_of_random_projections_of_the_output() -> None:
    """E[g g^T] = J^T J, so the sum of squared gradients of an activation is the squared Frobenius norm of its Jacobian."""
    graph = parse(LINEAR)
    x = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
    h, x_value = graph.value("h"), graph.inputs[0]
    found = measure(graph, [[x[:20]], [x[20:]]], {id(h): (-1.0, 1.0), id(x_value): (-1.0, 1.0)})
    w, v = graph.value("w").tensor.double(), graph.value("v").tensor.double()
    outputs = graph.module().run([x])[0]
    spread = [float(outputs[a:b].std(correction=0)) for a, b in ((0, 20), (20, 48))]
    per_output = 20 / spread[0] ** 2 + 28 / spread[1] ** 2
    assert found[id(h)].elements == pytest.approx(48 * 5)
    assert found[id(h)].rounding == pytest.approx(float(w.square().sum()) * per_output, rel=0.2)
    assert found[id(x_value)].rounding == pytest.approx(float((w @ v).square().sum()) * per_output, rel=0.2)


def test_the_estimate_is_the_error_that_rounding_really_causes() -> None:
    """To first order: rounding one activation of a smooth network changes its output by step^2 / 12 * sum g^2."""
    graph = parse("""
        graph g(%x: float32[N,8])
          @v: float32[32,8]
          @w: float32[4,32]
          %h = linear(%x, @v)
          %t = tanh(%h)
          %y = linear(%t, @w)
          return %y
    """)
    x = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
    h = graph.value("h")
    seen: list[torch.Tensor] = []
    reference = graph.module().run([x], lambda v, t: seen.append(t) if v is h else None)[0]
    low, high = float(seen[0].min()), float(seen[0].max())
    quant = activation_params(low, high)
    rounded = graph.module().run([x], lambda v, t: fake_quantize(t, quant) if v is h else None)[0]
    happened = float(((rounded - reference) / reference.std(correction=0)).square().sum())
    estimated = quant.scale[0] ** 2 / 12 * measure(graph, [[x]], {id(h): (low, high)})[id(h)].rounding
    assert 10 * abs(math.log10(happened / estimated)) < 1.0  # within one decibel


def test_batches_are_cut_without_changing_what_is_measured() -> None:
    graph = parse(LINEAR)
    x = torch.randn(30, 6)
    h = graph.value("h")
    whole = measure(graph, [[x]], {id(h): (-2.0, 2.0)})[id(h)]
    cut = measure(graph, [[x]], {id(h): (-2.0, 2.0)}, memory=1)[id(h)]
    assert cut.elements == pytest.approx(whole.elements)


@pytest.mark.parametrize(
    ("tail", "wanted"),
    [
        ("%p = softmax(%y)\nreturn %p", ["y"]),
        ("%p = sigmoid(%y)\nreturn %p, %x", ["y", "x"]),
        ("%p = log_softmax(%y)\n%q = identity(%p)\nreturn %q", ["y"]),
        ("%p = relu(%y)\nreturn %p", ["p"]),
        ("%p = argmax(%y)\nreturn %p, %y", ["y"]),
    ],
)
def test_the_figure_is_taken_before_a_final_softmax_or_sigmoid(tail: str, wanted: list[str]) -> None:
    graph = parse(f"graph g(%x: float32[N,6])\n@w: float32[3,6]\n%y = linear(%x, @w)\n{tail}")
    assert [v.name for v in logits(graph)] == wanted


def test_an_activation_that_no_output_depends_on_has_no_sensitivity() -> None:
    graph = parse("graph g(%x: float32[N,6])\n@w: float32[3,6]\n%y = linear(%x, @w)\n%d = relu(%x)\nreturn %y")
    dead = graph.value("d")
    assert id(dead) not in measure(graph, [[torch.randn(4, 6)]], {id(dead): (0.0, 1.0)})


def test_ends_join() -> None:
    a, b = End(), End()
    a.error[3], b.error[3], b.beyond[0] = 2.0, 5.0, 1.0
    a.add(b)
    assert float(a.error[3]) == 7.0 and float(a.beyond[0]) == 1.0
