"""The record of inputs and outputs that an artifact carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.formats.io_metadata import FileTensor, IoRecord, Preprocessing, Structure, TensorIo, decode, encode

IMAGE = FileTensor("x", (1, 32, 32, 3), "int8", 0.5, -3)
LOGITS = FileTensor("y", (1, 10), "int8", 0.25, 0)


def test_a_classifiers_record_is_short() -> None:
    record = IoRecord((TensorIo(IMAGE, "channels_last"),), (TensorIo(LOGITS),))
    assert len(encode(record)) <= 40
    assert decode(encode(record), (IMAGE,), (LOGITS,)) == record


def test_a_record_with_everything_comes_back_whole() -> None:
    preprocessing = Preprocessing(255.0, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), "NHWC")
    state = FileTensor("h", (2, 1, 16), "float32")
    structure: Structure = (1, {"a": [0, None], "b": (1,)})
    record = IoRecord(
        (TensorIo(IMAGE, "channels_last", preprocessing=preprocessing), TensorIo(state, batch=1)),
        (TensorIo(LOGITS), TensorIo(state, batch=None)),
        structure,
    )
    assert decode(encode(record), (IMAGE, state), (LOGITS, state)) == record


def test_shapes_and_batch_axes_are_given_in_both_orders() -> None:
    image = TensorIo(IMAGE, "channels_last")
    assert image.source_shape == (None, 3, 32, 32)
    assert image.file_batch == 0
    swapped = TensorIo(FileTensor("s", (8, 4, 1), "float32"), "channels_last", batch=1)  # source (8, N, 4)
    assert swapped.source_shape == (8, None, 4)
    assert swapped.file_batch == 2
    assert TensorIo(FileTensor("h", (2, 1, 16), "float32"), batch=1).file_batch == 1
    assert TensorIo(FileTensor("k", (4,), "float32"), batch=None).source_shape == (4,)


def test_a_file_without_a_record_is_taken_as_it_is() -> None:
    record = decode(None, (IMAGE,), (LOGITS, LOGITS))
    assert record.structure == (0, 1)
    assert record.inputs[0].source_shape == (None, 32, 32, 3)


BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"inputs":[{},{}]}',
    b'{"inputs":[],"outputs":[{}]}',
    b'{"inputs":[{"layout":"NCHW"}],"outputs":[{}]}',
    b'{"inputs":[{}],"outputs":[{"layout":"channels_last"}]}',
    b'{"inputs":[{"batch":4}],"outputs":[{}]}',
    b'{"inputs":[{"batch":-1}],"outputs":[{}]}',
    b'{"inputs":[{}],"outputs":[{}],"structure":1}',
    b'{"inputs":[{}],"outputs":[{}],"structure":true}',
    b'{"inputs":[{"preprocessing":{"mean":3}}],"outputs":[{}]}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("data", BROKEN)
def test_a_damaged_record_is_an_error(data: bytes) -> None:
    with pytest.raises(InputError, match="is damaged"):
        decode(data, (IMAGE,), (LOGITS,), where="net.tflite")


@given(
    st.recursive(st.integers(0, 1) | st.none(), lambda s: st.lists(s).map(tuple) | st.lists(s) | st.dictionaries(st.text(), s))
)
def test_any_nesting_of_outputs_comes_back(structure: Structure) -> None:
    record = IoRecord((TensorIo(IMAGE),), (TensorIo(LOGITS), TensorIo(LOGITS)), structure)
    assert decode(encode(record), (IMAGE,), (LOGITS, LOGITS)).structure == structure
