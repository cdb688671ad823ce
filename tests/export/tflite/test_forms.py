"""Forms of values, what moves a tensor from one into another, and the exact choice of modes."""

from __future__ import annotations

import itertools
import random
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.export.tflite.constants import arrange, order_along
from edgekit.export.tflite.layout.elimination import Factor, cheapest
from edgekit.export.tflite.layout.form import Form, channels_last, permuted, reshaped, source, squeezed, swapped, wide
from edgekit.export.tflite.layout.movement import Reshape, Step, Transpose, cost, steps

Integers = NDArray[np.int64]


def physical(values: Integers, form: Form) -> Integers:
    """The tensor that holds ``values`` in a form, by the form's definition."""
    index = np.zeros(1, np.int64)
    for stride, size in form.digits:
        index = (index[:, None] + np.arange(size) * stride).reshape(-1)
    return values.reshape(-1)[index].reshape(form.physical)


def moved(tensor: Integers, way: tuple[Step, ...]) -> Integers:
    for step in way:
        tensor = tensor.transpose(step.dims) if isinstance(step, Transpose) else tensor.reshape(step.shape)
        assert tensor.shape == step.shape
    return tensor


def standard(shape: tuple[int, ...]) -> list[Form]:
    forms = [source(shape), channels_last(shape), squeezed(shape)]
    forms += [wide(shape)] if len(shape) == 3 else []
    forms += [swapped(shape)] if len(shape) >= 2 else []
    return forms


shapes = st.lists(st.sampled_from([1, 1, 2, 3, 4, 6]), min_size=1, max_size=5).map(tuple)


@settings(max_examples=150, deadline=None)
@given(shapes, st.randoms(use_true_random=False))
def test_a_tensor_gets_from_any_form_into_any_other(shape: tuple[int, ...], rng: random.Random) -> None:
    values = np.arange(prod(shape)).reshape(shape)
    dims = list(range(len(shape)))
    rng.shuffle(dims)
    inverse = [dims.index(axis) for axis in range(len(dims))]
    forms = [*standard(shape), *(permuted(form, inverse) for form in standard(tuple(shape[d] for d in dims)))]
    for before, after in itertools.product(forms, forms):
        way = steps(before, after)
        np.testing.assert_array_equal(moved(physical(values, before), way), physical(values, after))
        assert len(way) <= 3
        assert sum(isinstance(step, Transpose) for step in way) <= 1
        assert (cost(before, after) == 0) == (way == ())


@settings(max_examples=150, deadline=None)
@given(shapes, st.randoms(use_true_random=False))
def test_a_reshape_of_a_tensor_in_any_form_gets_into_any_form(shape: tuple[int, ...], rng: random.Random) -> None:
    values = np.arange(prod(shape)).reshape(shape)
    rest, target = values.size, []
    for _ in range(2):
        target.append(rng.choice([d for d in range(1, rest + 1) if rest % d == 0]))
        rest //= target[-1]
    new = (*target, rest)
    for before, after in itertools.product(standard(shape), standard(new)):
        way = steps(before, after)
        np.testing.assert_array_equal(moved(physical(values, before), way), physical(values.reshape(new), after))
        still = reshaped(before, new)
        if still is not None:  # the elements stay where they are
            assert still.physical == before.physical
            np.testing.assert_array_equal(physical(values.reshape(new), still), physical(values, before))


def test_a_flattened_image_stays_where_it_is_until_something_needs_its_order() -> None:
    image = channels_last((1, 16, 4, 4))
    flat = reshaped(image, (1, 256))
    assert flat is not None
    assert flat.physical == (1, 4, 4, 16)
    np.testing.assert_array_equal(order_along(flat, 1), np.arange(256).reshape(16, 16).T.reshape(-1))
    assert steps(flat, source((1, 256))) == (Transpose((0, 3, 1, 2), (1, 16, 4, 4)), Reshape((1, 256)))


def test_patches_of_a_vision_transformer_are_a_reshape() -> None:
    patches = reshaped(channels_last((1, 96, 8, 8)), (1, 96, 64))
    assert patches is not None
    tokens = permuted(patches, (0, 2, 1))
    assert steps(tokens, source((1, 64, 96))) == (Reshape((1, 64, 96)),)


def test_shuffled_channels_are_an_order_of_one_axis() -> None:
    form: Form | None = channels_last((1, 6, 5, 5))
    assert form is not None
    form = reshaped(form, (1, 2, 3, 5, 5))
    assert form is not None
    form = reshaped(permuted(form, (0, 2, 1, 3, 4)), (1, 6, 5, 5))
    assert form is not None
    assert form.physical == (1, 5, 5, 6) or form.physical == (1, 5, 5, 2, 3)
    np.testing.assert_array_equal(order_along(form, 1), [0, 2, 4, 1, 3, 5])


def test_an_axis_of_two_dimensions_that_cut_across_each_other_goes_through_the_sources_order() -> None:
    values = np.arange(24).reshape(4, 6)
    way = steps(swapped((4, 6)), swapped((6, 4)))
    np.testing.assert_array_equal(moved(values.T, way), values.reshape(6, 4).T)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ((), ()),
        ((5,), (5, 1)),
        ((4, 1, 1), (4,)),
        ((1, 4, 1, 5), (5, 4)),
        ((2, 4, 3, 5), (2, 3, 5, 4)),
        ((1, 1, 3, 1), (3, 1, 1)),
    ],
)
def test_constants_are_arranged_to_broadcast(array: tuple[int, ...], expected: tuple[int, ...]) -> None:
    constant = np.random.default_rng(0).standard_normal(array).astype(np.float32)
    value = np.random.default_rng(1).standard_normal((2, 4, 3, 5)).astype(np.float32)
    arranged = arrange(constant, channels_last(value.shape))
    assert arranged.shape == expected
    np.testing.assert_array_equal(value.transpose(0, 2, 3, 1) + arranged, (value + constant).transpose(0, 2, 3, 1))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_elimination_finds_what_trying_everything_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(rng.integers(1, 4)) for _ in range(rng.integers(1, 7))]
    factors = []
    for _ in range(rng.integers(1, 9)):
        scope = tuple(int(v) for v in rng.permutation(len(sizes))[: rng.integers(1, min(len(sizes), 3) + 1)])
        factors.append(Factor(scope, rng.integers(0, 20, [sizes[v] for v in scope]).astype(float)))

    def price(choice: tuple[int, ...] | list[int]) -> float:
        return sum(float(factor.table[tuple(choice[v] for v in factor.scope)]) for factor in factors)

    assert price(cheapest(sizes, factors)) == min(price(choice) for choice in itertools.product(*map(range, sizes)))


def test_a_knot_of_variables_is_decided_one_by_one_instead_of_exhausting_memory() -> None:
    rng = np.random.default_rng(0)
    sizes = [3] * 40
    factors = [Factor((a, b), rng.random((3, 3))) for a, b in itertools.combinations(range(40), 2)]
    assert len(cheapest(sizes, factors)) == 40
