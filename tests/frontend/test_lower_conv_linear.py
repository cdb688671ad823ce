"""Convolutions, linear layers and matrix products keep their function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.frontend.compare import assert_same, op_names

IMAGE = torch.randn(2, 3, 9, 8)
SIGNAL = torch.randn(2, 4, 20)
ROWS = torch.randn(2, 6)
MATRICES = torch.randn(2, 4, 5)

LAYERS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), IMAGE),
    "conv2d without bias": (lambda: nn.Conv2d(3, 4, 3, bias=False), IMAGE),
    "conv2d strided and padded": (lambda: nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 0)), IMAGE),
    "conv2d dilated": (lambda: nn.Conv2d(3, 4, 3, dilation=2, padding=2), IMAGE),
    "conv2d grouped": (lambda: nn.Conv2d(3, 6, 3, groups=3), IMAGE),
    "conv2d same": (lambda: nn.Conv2d(3, 4, 3, padding="same"), IMAGE),
    "conv2d same, even kernel": (lambda: nn.Conv2d(3, 4, (4, 2), padding="same", dilation=(1, 3)), IMAGE),
    "conv2d valid": (lambda: nn.Conv2d(3, 4, 3, padding="valid"), IMAGE),
    "conv2d, reflected": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), IMAGE),
    "conv2d, replicated": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate"), IMAGE),
    "conv2d, circular": (lambda: nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="circular"), IMAGE),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), SIGNAL),
    "conv1d same": (lambda: nn.Conv1d(4, 6, 4, padding="same"), SIGNAL),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), IMAGE),
    "conv_transpose2d grouped, dilated": (lambda: nn.ConvTranspose2d(3, 6, 2, groups=3, dilation=2), IMAGE),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(4, 4, 3, stride=2, groups=2), SIGNAL),
    "linear": (lambda: nn.Linear(6, 3), ROWS),
    "linear without bias, of a sequence": (lambda: nn.Linear(5, 3, bias=False), MATRICES),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_keeps_its_function(name: str) -> None:
    make, example = LAYERS[name]
    torch.manual_seed(1)
    assert_same(make(), example, tolerance=2e-6)


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "a single image": (lambda x: F.conv2d(x.mean(0), torch.ones(2, 3, 3, 3)), (IMAGE,)),
    "matmul": (lambda x: x @ x.transpose(1, 2), (MATRICES,)),
    "matmul with a vector": (lambda x: x @ torch.arange(6.0), (ROWS,)),
    "matmul with a constant": (lambda x: x @ torch.linspace(0, 1, 30).reshape(5, 6), (MATRICES,)),
    "mv of constants": (lambda x: x + torch.mv(torch.eye(6), torch.arange(6.0)), (ROWS,)),
    "bmm": (lambda x: torch.bmm(x, x.mT), (MATRICES,)),
    "addmm": (lambda x: torch.addmm(torch.ones(3), x, torch.linspace(0, 1, 18).reshape(6, 3)), (ROWS,)),
    "addmm with factors": (lambda x: torch.addmm(torch.ones(3), x, torch.ones(6, 3), beta=0.5, alpha=2), (ROWS,)),
    "baddbmm": (lambda x: torch.baddbmm(torch.ones(1, 4, 4), x, x.mT, beta=0.5, alpha=2), (MATRICES,)),
    "bilinear": (lambda x, y: F.bilinear(x, y, torch.linspace(-1, 1, 108).reshape(3, 6, 6), torch.ones(3)), (ROWS, ROWS + 1)),
    "outer of constants": (lambda x: x[:, :, None] * torch.outer(torch.arange(6.0), torch.arange(4.0)), (ROWS,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_keeps_its_value(name: str) -> None:
    function, examples = FUNCTIONS[name]
    assert_same(function, *examples, tolerance=2e-6)


EQUATIONS = {
    "bij,kj->bik": (MATRICES, torch.randn(7, 5)),
    "bij,jk->bik": (MATRICES, torch.randn(5, 7)),
    "bij,bkj->bik": (MATRICES, MATRICES),
    "...ij,...kj->...ik": (MATRICES, MATRICES),
    "bi,bj->bij": (ROWS, ROWS),
    "bij,b->bi": (MATRICES, ROWS[:, 0]),
    "nchw,cd,hw->nd": (IMAGE, torch.randn(3, 2), torch.randn(9, 8)),
    "bij->ji": (MATRICES,),
    "bij->b": (MATRICES,),
    "bij,bij": (MATRICES, MATRICES),
    "bhid,bhjd->bhij": (IMAGE, IMAGE),
    " b i j , i k -> b j k ": (MATRICES, torch.randn(4, 3)),
    "bi,bi->bi": (ROWS, ROWS),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_einsum_is_the_products_that_it_stands_for(equation: str) -> None:
    first, *rest = EQUATIONS[equation]
    labels = [part.strip().replace("...", "bb")[0] for part in equation.partition("->")[0].split(",")]
    batched = [label in "bn" for label in labels[1:]]  # the others are constants of the model
    fixed = [x for x, varies in zip(rest, batched, strict=True) if not varies]

    def product(*tensors: torch.Tensor) -> torch.Tensor:
        given, own = iter(tensors), iter(fixed)
        return torch.einsum(equation, *[next(given) if varies else next(own) for varies in (True, *batched)])

    assert_same(product, first, *[x for x, varies in zip(rest, batched, strict=True) if varies], tolerance=2e-5)


def test_a_product_with_rows_of_a_parameter_is_a_linear_layer() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(7, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("bij,kj->bik", x, self.weight)

    assert op_names(assert_same(Rows(), MATRICES)) == ["linear"]


def test_a_diagonal_in_an_einsum_is_refused_by_name() -> None:
    from edgekit import Unsupported

    with pytest.raises(Unsupported, match=r"aten\.einsum\.default.*diagonal"):
        assert_same(lambda x: torch.einsum("bii->bi", x), torch.randn(2, 4, 4))


def test_a_dimension_of_size_one_in_an_einsum_takes_the_others_size() -> None:
    table = torch.linspace(-1, 1, 12).reshape(3, 4)
    assert_same(lambda x: torch.einsum("bchw,oc->bohw", x, table), torch.randn(2, 1, 5, 6), tolerance=1e-5)
    assert_same(lambda x: torch.einsum("bij,bjk->bik", x, x[:, :, :1]), torch.randn(2, 4, 1), tolerance=1e-5)
