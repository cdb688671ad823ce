"""Rounding with a learned step: the forward pass and the gradients are those of LSQ (arXiv:1902.08153)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.ir import QuantParams
from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.learned_step import SMALLEST_STEP, learned_step
from edgekit.ir.ops import FakeQuantize
from edgekit.ir.quantized_data import dequantize, quantize
from edgekit.ir.text import parse


def paper(x: np.ndarray, step: float, q_n: int, q_p: int, upstream: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Equations 1 to 3 and 5 of the paper, element by element in plain Python, with g = 1 / sqrt(N Q_P)."""
    out, of_x, of_step = np.empty_like(x), np.empty_like(x), 0.0
    for index, value in np.ndenumerate(x):
        v = value / step
        clipped = min(max(v, -q_n), q_p)
        out[index] = round(clipped) * step  # Python rounds half to even
        of_x[index] = upstream[index] if -q_n < v < q_p else 0.0
        slope = -v + round(v) if -q_n < v < q_p else (-q_n if v <= -q_n else q_p)
        of_step += upstream[index] * slope
    return out, of_x, of_step / np.sqrt(x.size * q_p)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(2, 1), (8, 7), (127, 127), (0, 255), (100, 155)]), st.floats(0.01, 2.0))
def test_forward_and_gradients_are_those_of_the_paper(seed: int, ends: tuple[int, int], step: float) -> None:
    random = np.random.default_rng(seed)
    x, upstream = random.standard_normal((3, 7)) * step * ends[1], random.standard_normal((3, 7))
    a = torch.tensor(x, requires_grad=True)
    s = torch.tensor([step], dtype=torch.float64, requires_grad=True)
    y = learned_step(a, s, -ends[0], ends[1], 1 / np.sqrt(x.size * ends[1]))
    y.backward(torch.tensor(upstream))
    wanted, of_x, of_step = paper(x, step, *ends, upstream)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(a.grad.numpy(), of_x, rtol=1e-12)
    np.testing.assert_allclose(s.grad.numpy(), [of_step], rtol=1e-9, atol=1e-12)


def test_steps_along_an_axis_are_as_many_single_ones() -> None:
    torch.manual_seed(0)
    x, steps = torch.randn(4, 3, 5), torch.tensor([0.1, 0.5, 0.02])
    upstream = torch.randn(4, 3, 5)
    a, s = x.clone().requires_grad_(), steps.clone().requires_grad_()
    learned_step(a, s, -8, 7, 0.3, axis=1).backward(upstream)
    for channel in range(3):
        b, t = x[:, channel].clone().requires_grad_(), steps[channel : channel + 1].clone().requires_grad_()
        learned_step(b, t, -8, 7, 0.3).backward(upstream[:, channel])
        assert torch.equal(a.grad[:, channel], b.grad)
        torch.testing.assert_close(s.grad[channel : channel + 1], t.grad)


def test_the_gradient_of_clipped_elements_is_exact_and_gradcheck_agrees_there() -> None:
    """Beyond the ends the function is ``end * step``: differentiable, so that finite differences can tell."""
    x = torch.tensor([5.0, -7.0, 9.0], dtype=torch.float64)
    step = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: learned_step(x, s, -8, 7, 1.0), (step,))


@pytest.mark.parametrize(("dtype", "zero", "narrow"), [("int8", -128, False), ("int8", 17, False), ("int4", 0, True)])
def test_the_op_computes_what_quant_computes_in_every_bit(dtype: str, zero: int, narrow: bool) -> None:
    torch.manual_seed(1)
    x = torch.randn(1000) * 3
    quant = QuantParams(dtype, (0.0371,), (zero,), narrow=narrow)
    y = FakeQuantize(dtype, zero, narrow=narrow).run(x, torch.tensor(quant.scale))
    assert torch.equal(y, fake_quantize(x, quant))
    assert torch.equal(y, dequantize(quantize(x, quant), quant))


def test_a_step_that_training_drove_below_zero_acts_as_the_smallest_and_comes_back() -> None:
    x = torch.tensor([1.0, -1.0, 2.0])
    step = torch.tensor([-0.5], requires_grad=True)
    y = learned_step(x, step, -8, 7, 1.0)
    assert torch.isfinite(y).all() and float(y.detach().abs().max()) <= 8 * SMALLEST_STEP * 1.01
    (y - x).square().sum().backward()
    assert float(step.grad) < 0  # a larger step fits better


def test_without_a_gradient_scale_the_step_does_not_learn() -> None:
    step = torch.tensor([0.1], requires_grad=True)
    learned_step(torch.randn(9), step, -8, 7, 0.0).sum().backward()
    assert float(step.grad) == 0.0


def test_the_op_is_written_and_read_as_text() -> None:
    text = """graph g(%x: float32[N,3])
  @s: float32[1] parameter
  %y: float32[N,3] = fake_quantize(%x, @s, dtype='int4', axis=1, narrow=True, gradient_scale=0.25)
  return %y
"""
    graph = parse(text)
    assert graph.text() == text and graph.nodes[0].op == FakeQuantize("int4", 0, 1, True, 0.25)
