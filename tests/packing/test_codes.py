"""The parts of the coder: bits, Huffman codes, symbols and text come back as they went in, at the cost that theory says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.packing import elements, huffman
from edgekit.packing.coder import Decoder, Encoder
from edgekit.packing.damage import Damaged
from edgekit.packing.logistic import LIMIT, RATES, SQUASH, STRETCH
from edgekit.packing.symbols import Matrix, code_symbols
from edgekit.packing.text import Text


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), max_size=200))
def test_bits_come_back(bits: list[tuple[int, int]]) -> None:
    encoder = Encoder()
    for bit, p in bits:
        encoder.code(bit, p)
    decoder = Decoder(encoder.finish())
    assert [decoder.code(0, p) for _, p in bits] == [bit for bit, _ in bits]
    assert decoder.spent <= 4


def test_bits_cost_what_their_probability_says() -> None:
    rng = np.random.default_rng(0)
    p = 6000
    bits = (rng.random(20_000) < p / 65536).astype(int)
    encoder = Encoder()
    for bit in bits:
        encoder.code(int(bit), p)
    ideal = -(bits * np.log2(p / 65536) + (1 - bits) * np.log2(1 - p / 65536)).sum() / 8
    assert ideal <= len(encoder.finish()) <= ideal + 4


def test_logits_and_probabilities_are_inverse_to_each_other() -> None:
    true = 65536 / (1 + np.exp(-np.arange(-LIMIT, LIMIT + 1) / 256))
    assert np.abs(np.array(SQUASH) - true).max() < 260
    for place in range(1, 4095):
        assert abs(SQUASH[STRETCH[place] + LIMIT] - 16 * place - 8) <= 70
    assert all(a >= b for a, b in itertools.pairwise(RATES)) and max(RATES) < 65536


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 256), st.integers(0, 20_000))
def test_huffman_codes_come_back(seed: int, alphabet: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = np.minimum(rng.geometric(rng.uniform(0.02, 0.9), count) - 1, alphabet - 1).astype(np.intp)
    stream = huffman.encode(symbols, alphabet)
    assert np.array_equal(huffman.decode(stream, count), symbols)


def test_a_code_is_never_longer_than_its_limit() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 24:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    symbols = np.repeat(np.arange(24), fibonacci).astype(np.intp)
    stream = huffman.encode(symbols, 24)
    assert 12 < max(stream.lengths) <= huffman.LONGEST  # 23 without a limit
    assert np.array_equal(huffman.decode(stream, len(symbols)), symbols)


def test_lengths_that_are_no_code_are_refused() -> None:
    with pytest.raises(Damaged, match="no code's"):
        huffman.decode(huffman.Stream((1, 1, 1), (), b"\0"), 3)
    with pytest.raises(Damaged, match="no code's"):
        huffman.decode(huffman.Stream((0, 0), (), b"\0"), 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 256), st.integers(1, 40), st.integers(1, 12), st.integers(0, 400))
def test_symbols_come_back(seed: int, symbols: int, columns: int, period: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    given_symbols = np.minimum(rng.geometric(0.2, count) - 1, symbols - 1).tolist()
    matrix = Matrix(count, columns, min(period, columns), symbols, int(rng.integers(symbols)))
    encoder = Encoder()
    code_symbols(encoder, matrix, given_symbols)
    assert code_symbols(Decoder(encoder.finish()), matrix, None) == given_symbols


def test_text_learns_what_it_saw() -> None:
    data = bytes(np.random.default_rng(0).integers(0, 256, 500, np.uint8))
    sizes = []
    for content in (data, data + data):
        encoder = Encoder()
        Text(encoder, 16).code_all(len(content), content)
        sizes.append(len(encoder.finish()))
        assert Text(Decoder(encoder.finish()), 16).code_all(len(content), None) == content
    assert sizes[0] < 530 and sizes[1] - sizes[0] < 60


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32, 64])
def test_elements_and_their_order_have_inverses(bits: int) -> None:
    data = np.random.default_rng(bits).bytes(64)
    numbers = elements.split(data, bits)
    assert elements.join(numbers, bits) == data
    assert np.array_equal(elements.unrank(elements.rank(numbers, bits), bits), numbers)


def test_the_order_is_that_of_the_numbers() -> None:
    floats = np.array([-3.0, -0.5, 0.0, 0.25, 7.0], np.float32)
    assert (np.diff(elements.rank(floats.view(np.uint32), 32).astype(np.int64)) > 0).all()
    signed = np.arange(-128, 128).astype(np.int8)
    assert elements.rank(signed.view(np.uint8), 8).tolist() == list(range(256))
