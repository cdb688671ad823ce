"""The regressor of a hint turns the student's features into the shape of the teacher's, whatever the two are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.train.distillation.hint import hint_loss, regressor


@pytest.mark.parametrize(
    ("student", "teacher", "axis"),
    [
        ((1, 8), (1, 20), 1),
        ((1, 8, 10, 10), (1, 16, 10, 10), 1),
        ((1, 8, 16, 12), (1, 16, 8, 6), 1),
        ((1, 8, 15, 10), (1, 16, 4, 3), 1),
        ((1, 8, 4, 3), (1, 16, 15, 10), 1),
        ((1, 8, 7, 7), (1, 16, 14, 14), 1),
        ((1, 8, 100), (1, 16, 40), 1),
        ((1, 50, 8), (1, 50, 32), -1),
    ],
    ids=str,
)
def test_it_has_the_teachers_shape_and_learns(student: tuple[int, ...], teacher: tuple[int, ...], axis: int) -> None:
    made = regressor(student, teacher, axis=axis)
    features = torch.randn(2, *student[1:], generator=torch.Generator().manual_seed(1))
    wanted = torch.randn(2, *teacher[1:], generator=torch.Generator().manual_seed(2))
    loss = hint_loss(made(features), wanted)
    loss.backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_the_kernel_is_that_of_the_paper_where_one_step_suffices() -> None:
    made = regressor((1, 8, 12, 12), (1, 16, 9, 9))
    assert isinstance(made, nn.Conv2d) and made.kernel_size == (4, 4) and made.stride == (1, 1)


@pytest.mark.parametrize(
    ("student", "teacher", "axis"),
    [
        ((1, 8), (1, 8, 4, 4), 1),
        ((1, 8, 4, 8), (1, 8, 8, 4), 1),
        ((1, 50, 8), (1, 49, 8), -1),
    ],
    ids=str,
)
def test_shapes_without_a_regressor_are_refused(student: tuple[int, ...], teacher: tuple[int, ...], axis: int) -> None:
    with pytest.raises(ValueError, match="have no regressor"):
        regressor(student, teacher, axis=axis)


def test_a_hint_without_a_fitting_regressor_is_refused() -> None:
    with pytest.raises(ValueError, match="a regressor is missing"):
        hint_loss(torch.zeros(2, 3), torch.zeros(2, 4))


def test_its_parameters_do_not_depend_on_the_global_random_numbers() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = regressor((1, 8, 4, 4), (1, 3, 4, 4), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    second = regressor((1, 8, 4, 4), (1, 3, 4, 4), seed=7)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
