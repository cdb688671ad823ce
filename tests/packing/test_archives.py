"""An archive is as small as its file allows, unpacks to it byte for byte, and says so when it can't."""

from __future__ import annotations

import gzip
import lzma

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import edgekit as ek
from edgekit.packing.archive import MAGIC, RATIO, number, write
from edgekit.packing.choosing import choose
from edgekit.packing.layout import arrays_of
from edgekit.packing.sections import HUFFMAN, PLANES, PRODUCT, SPARSE, STORED, SYMBOLS
from tests.packing.mutation import mutants
from tests.packing.samples import clustered, every_kind, float_file, int8_file, onnx_like

FILES = every_kind()


@pytest.mark.parametrize("fast", [False, True], ids=["models", "fast"])
@pytest.mark.parametrize("name", FILES)
def test_an_archive_unpacks_to_the_very_file(name: str, fast: bool) -> None:
    packed = write(FILES[name], fast=fast)
    assert ek.unpack(packed.data) == FILES[name]
    assert sum(packed.parts.values()) == len(packed.data)


def test_the_same_file_gives_the_same_archive() -> None:
    assert write(FILES["onnx"]).data == write(FILES["onnx"]).data


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_pack(data: bytes) -> None:
    assume(not data.startswith(b"EKZSIZES"))
    assert ek.unpack(ek.pack(data).data) == data


def test_what_would_be_taken_for_several_files_is_not_packed_and_broken_lists_of_files_are_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ek.InputError, match="begins with 'EKZSIZES'"):
        ek.pack(b"EKZSIZES and more")
    monkeypatch.setattr("edgekit.packing.archive.parts_of", lambda data: ())
    with pytest.raises(ek.InputError, match="the list of its files ends too early"):
        ek.unpack(write(b"EKZSIZES").data)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 4]), st.integers(1, 90))
def test_elements_below_a_byte_pack(seed: int, bits: int, size: int) -> None:
    from edgekit.packing.channel import Channel
    from edgekit.packing.coder import Decoder, Encoder
    from edgekit.packing.sections import Form, code_array

    data = bytes(np.random.default_rng(seed).integers(0, 256, size, np.uint8) & 0x33)
    common = data[0] & ((1 << bits) - 1)
    for form in (Form(SYMBOLS, bits, 2, 2, common), Form(HUFFMAN, bits, common=common, gaps=True)):
        channel = Channel(encoder := Encoder(), 12)
        code_array(channel, size, data, form, b"", "")
        reader = Channel(Decoder(encoder.finish()), 12, channel.raw)
        assert code_array(reader, size, None, Form(form.method), b"", "") == data


def test_the_samples_use_every_method() -> None:
    used = set()
    for data in [*FILES.values(), np.random.default_rng(0).bytes(1 << 14)]:
        for fast in (False, True):
            for section in choose(data, arrays_of(data), fast=fast):
                used |= {section.form.method, *(part.method for part in section.form.parts)}
    assert used == {SYMBOLS, PLANES, HUFFMAN, STORED, SPARSE, PRODUCT}


def test_pruned_and_clustered_weights_take_less_than_their_entropy() -> None:
    """A code of single values, its table not counted, would take the entropy of these."""
    weights = clustered(120, 400)
    data = float_file(weights)
    counts = np.unique(weights, return_counts=True)[1]
    entropy = -(counts * np.log2(counts / weights.size)).sum() / 8
    packed = write(data)
    assert packed.parts["weights"] < 0.99 * entropy
    assert len(packed.data) < min(0.75 * len(gzip.compress(data, 9)), 0.85 * len(lzma.compress(data, preset=9)))


def test_fast_archives_lose_little() -> None:
    data = float_file(clustered(60, 400))
    slow = len(write(data).data)
    assert slow < len(write(data, fast=True).data) < 1.25 * slow


def test_scales_that_follow_from_others_cost_nearly_nothing() -> None:
    data = int8_file(outputs=200, inputs=8)
    parts = write(data).parts
    assert 200 * 3 < parts["scales"] < 200 * 4 + 30  # of 1600 bytes the half


def test_the_arrays_of_an_onnx_file_are_found() -> None:
    weights = clustered(12, 50)
    data = onnx_like(weights)
    (array,) = arrays_of(data)
    assert data[array.start : array.start + array.size] == weights.tobytes()
    assert (array.bits, array.columns) == (32, 50)


@pytest.mark.parametrize("name", ["clustered weights", "pruned float weights"])
def test_a_changed_archive_gives_an_error_or_the_file_itself(name: str) -> None:
    data = FILES[name]
    for changed in mutants(write(data).data, 15, seed=len(name)):
        try:
            assert ek.unpack(changed) == data
        except ek.InputError as error:
            assert "no sound .ekz archive" in error.what and error.hint


def test_an_archive_that_declares_too_much_is_refused_at_once() -> None:
    head = MAGIC + number(1 << 30) + bytes(8) + bytes([18]) + number(1) + number(0)
    with pytest.raises(ek.InputError, match="can't hold"):
        ek.unpack(head)


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("edgekit.packing.archive.code_array", full)
    monkeypatch.setattr("edgekit.packing.archive.Channel.below", lambda *_, **__: 1)
    with pytest.raises(ek.InputError, match="not enough memory"):
        ek.unpack(MAGIC + number(100) + bytes(8) + bytes([12, 1, 0]))


def test_a_newer_version_is_named() -> None:
    archive = bytearray(ek.pack(b"abc").data)
    archive[3] = 9
    with pytest.raises(ek.InputError, match="version 9 is unknown"):
        ek.unpack(bytes(archive))


def test_what_compresses_beyond_the_ratio_stays_readable() -> None:
    data = bytes(RATIO * 3000)
    archive = write(data).data
    assert ek.unpack(archive) == data
    assert len(archive) >= (len(data) - (1 << 16)) // RATIO
