"""Signs and their gradients, against the formulas of the papers written out."""

from __future__ import annotations

import pytest
import torch

from edgekit.ir import ops
from edgekit.ir.straight_through import binary_activation, binary_weight, channel_scales, signs


def gradient(function: object, x: torch.Tensor) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    weights = torch.linspace(-2, 3, x.numel()).reshape(x.shape)
    (function(leaf) * weights).sum().backward()  # type: ignore[operator]
    assert leaf.grad is not None
    return leaf.grad / weights


X = torch.tensor([[-3.0, -1.0, -0.25, -0.0, 0.0, 0.5, 1.0, 1.5]])


def test_the_sign_of_zero_is_plus_one() -> None:
    assert signs(X).tolist() == [[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    assert torch.equal(ops.BinarySign().run(X), signs(X))


def test_gradients_of_activations_stop_outside_of_one() -> None:
    assert gradient(binary_activation, X).tolist() == [[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]]
    polynomial = gradient(lambda x: binary_activation(x, "polynomial"), X)
    assert torch.allclose(polynomial, torch.tensor([[0.0, 0.0, 1.5, 2.0, 2.0, 1.0, 0.0, 0.0]]))


def test_gradients_of_weights_pass_and_those_of_scaled_ones_follow_the_paper() -> None:
    assert torch.allclose(gradient(binary_weight, X), torch.ones_like(X))
    w = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    scaled = binary_weight(w, scaled=True)
    alpha = w.abs().flatten(1).mean(1)
    assert torch.allclose(scaled, signs(w) * alpha.reshape(5, 1, 1, 1))
    assert torch.allclose(channel_scales(w).flatten(), alpha)
    expected = (alpha + 1 / 36).reshape(5, 1, 1, 1).expand_as(w)
    assert torch.allclose(gradient(lambda x: binary_weight(x, scaled=True), w), expected, atol=1e-5)


@pytest.mark.parametrize(("latent", "share"), [(-1.0, 0.0), (-0.5, 0.25), (0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_drawn_weights_are_plus_one_with_the_probability_of_the_hard_sigmoid(latent: float, share: float) -> None:
    torch.manual_seed(0)
    drawn = ops.BinaryWeight(stochastic=True).run(torch.full((20, 1000), latent), training=True)
    assert set(drawn.unique().tolist()) <= {-1.0, 1.0}
    assert float((drawn > 0).float().mean()) == pytest.approx(share, abs=0.015)
    fixed = ops.BinaryWeight(stochastic=True).run(torch.full((2, 3), latent))
    assert torch.equal(fixed, signs(torch.full((2, 3), latent)))
