"""Dimensions, types and places."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import Unsupported
from edgekit.ir import Batch, N, TensorType, Where
from edgekit.ir.types import PROBES, dtype_name, dtype_of, parse_dim, solve_dim, where_text

DIMS = st.one_of(st.integers(0, 10_000), st.integers(1, 500).map(Batch))


@given(st.sampled_from(["float32", "int8", "bool", "bfloat16", "complex64"]), st.lists(DIMS, max_size=6))
def test_a_type_reads_back_as_it_prints(dtype: str, dims: list[int | Batch]) -> None:
    type = TensorType(dtype_of(dtype), tuple(dims))
    assert TensorType.parse(str(type)) == type
    assert dtype_name(type.dtype) == dtype


@given(DIMS)
def test_a_dimension_is_solved_from_its_sizes_at_two_batches(dim: int | Batch) -> None:
    sizes = [dim.multiple * n if isinstance(dim, Batch) else dim for n in PROBES]
    assert solve_dim(sizes) == dim
    assert parse_dim(str(dim)) == dim


@pytest.mark.parametrize("sizes", [(3, 4), (2, 4), (5, 7), (4, 5)])
def test_a_dimension_that_is_no_multiple_of_the_batch_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(Unsupported, match="not a multiple of the batch size") as caught:
        solve_dim(sizes)
    assert caught.value.hint


def test_sizes_at_a_batch() -> None:
    type = TensorType(torch.int8, (Batch(16), 3, N))
    assert type.at(2) == (32, 3, 2) and type.numel(2) == 192 and type.rank == 3 and type.has_batch
    assert not TensorType(torch.int8, (3,)).has_batch and not type.is_float
    assert str(type) == "int8[16*N,3,N]"
    assert TensorType.of(torch.zeros(2, 3)) == TensorType(torch.float32, (2, 3))


@pytest.mark.parametrize("text", ["float32", "float32[a]", "float99[3]", "[3]", "float32[3"])
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        TensorType.parse(text)


def test_places_print_what_is_known_of_them() -> None:
    assert str(Where("net.0", "net.py", 3, "forward")) == "net.0 (net.py:3, in forward)"
    assert str(Where("net.0")) == "net.0" and str(Where("", "net.py", 3)) == "net.py:3" and str(Where()) == "unknown place"
    assert where_text([Where("a"), Where("b"), Where("a")]) == "a; b" and where_text([]) == "unknown place"
