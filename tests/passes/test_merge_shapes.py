"""Ops that only move elements merge with their neighbours, and cancel."""

from __future__ import annotations

import pytest

from edgekit.passes.merge_shapes import MergeShapes, permute_as_reshape
from tests.rewrites import assert_rewrites

HEAD = "graph g(%x: float32[N,2,3,4])\n"


def test_opposite_permutes_cancel() -> None:
    assert_rewrites(
        MergeShapes(),
        f"{HEAD}%r = relu(%x)\n%a = permute(%r, dims=(0, 3, 1, 2))\n%b = permute(%a, dims=(0, 2, 3, 1))\n%s = sigmoid(%b)\n"
        "return %s",
        count=1,
        becomes=f"{HEAD}%b = relu(%x)\n%s = sigmoid(%b)\nreturn %s",
    )


def test_permutes_in_a_row_become_one() -> None:
    assert_rewrites(
        MergeShapes(),
        f"{HEAD}%a = permute(%x, dims=(0, 3, 1, 2))\n%b = permute(%a, dims=(0, 3, 2, 1))\n%c = permute(%b, dims=(0, 1, 3, 2))\n"
        "return %c",
        count=2,
        becomes=f"{HEAD}%c = permute(%x, dims=(0, 2, 3, 1))\nreturn %c",
    )


def test_reshapes_in_a_row_become_one() -> None:
    assert_rewrites(
        MergeShapes(),
        f"{HEAD}%a = reshape(%x, shape=(N, 24))\n%b = reshape(%a, shape=(4*N, 6))\n%c = reshape(%b, shape=(N, 8, 3))\n"
        "return %c",
        count=2,
        becomes=f"{HEAD}%c = reshape(%x, shape=(N, 8, 3))\nreturn %c",
    )


def test_reshapes_that_end_where_they_began_cancel() -> None:
    assert_rewrites(
        MergeShapes(),
        f"{HEAD}%a = reshape(%x, shape=(N, 24))\n%b = reshape(%a, shape=(N, 2, 3, 4))\n%c = relu(%b)\nreturn %c",
        count=1,
        becomes=f"{HEAD}%c = relu(%x)\nreturn %c",
    )


def test_a_permute_that_moves_only_ones_is_a_reshape() -> None:
    assert_rewrites(
        MergeShapes(),
        "graph g(%x: float32[N,1,3,1])\n%a = permute(%x, dims=(0, 2, 3, 1))\n%b = reshape(%a, shape=(N, 3))\nreturn %b",
        count=2,
        becomes="graph g(%x: float32[N,1,3,1])\n%b = reshape(%x, shape=(N, 3))\nreturn %b",
    )


@pytest.mark.parametrize(
    ("shape", "dims", "moves_nothing"),
    [
        ((2, 1, 3), (1, 0, 2), True),
        ((2, 1, 3), (0, 2, 1), True),
        ((2, 1, 3), (2, 1, 0), False),
        ((2, 3, 3), (0, 2, 1), False),
        ((1, 1, 1), (2, 0, 1), True),
    ],
)
def test_when_elements_keep_their_order(shape: tuple[int, ...], dims: tuple[int, ...], moves_nothing: bool) -> None:
    assert permute_as_reshape(shape, dims) is moves_nothing


def test_a_value_in_the_middle_with_other_readers_stays() -> None:
    text = f"{HEAD}%a = reshape(%x, shape=(N, 24))\n%s = sigmoid(%a)\n%b = reshape(%a, shape=(N, 6, 4))\nreturn %s, %b"
    becomes = f"{HEAD}%a = reshape(%x, shape=(N, 24))\n%s = sigmoid(%a)\n%b = reshape(%x, shape=(N, 6, 4))\nreturn %s, %b"
    assert_rewrites(MergeShapes(), text, count=1, becomes=becomes)


@pytest.mark.parametrize(
    "round_trip",
    [
        "%a = permute({x}, dims=(0, 3, 1, 2))\n%b = permute(%a, dims=(0, 2, 3, 1))",
        "%a = reshape({x}, shape=(N, 24))\n%b = reshape(%a, shape=(N, 2, 3, 4))",
    ],
)
def test_outputs_keep_their_names_where_two_would_be_one_value(round_trip: str) -> None:
    of_input = f"{HEAD}{round_trip.format(x='%x')}\nreturn %b"
    assert_rewrites(MergeShapes(), of_input, count=1)
    of_output = f"{HEAD}%r = relu(%x)\n{round_trip.format(x='%r')}\nreturn %r, %b"
    assert_rewrites(MergeShapes(), of_output, count=1)


def test_quantised_movers_merge_and_keep_their_parameters() -> None:
    quant = "int8(scale=0.5, zero_point=1)"
    after = assert_rewrites(
        MergeShapes(),
        f"graph g(%x: float32[N,2,3,4] ~ {quant})\n%a: float32[N,24] ~ {quant} = reshape(%x, shape=(N, 24))\n"
        f"%b: float32[N,6,4] ~ {quant} = reshape(%a, shape=(N, 6, 4))\nreturn %b",
        count=1,
    )
    assert len(after.nodes) == 1 and after.outputs[0].quant == after.inputs[0].quant


def test_a_requantisation_between_stops_it() -> None:
    text = (
        "graph g(%x: float32[N,2,3,4])\n%a: float32[N,24] ~ int8(scale=0.5, zero_point=1) = reshape(%x, shape=(N, 24))\n"
        "%b: float32[N,6,4] ~ int8(scale=0.5, zero_point=1) = reshape(%a, shape=(N, 6, 4))\nreturn %b"
    )
    assert_rewrites(MergeShapes(), text, count=0, becomes=text)
