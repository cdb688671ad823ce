"""One archive holds several sizes of a network, the smaller ones as parts of the largest; Python and C make each of them."""

from __future__ import annotations

import base64
import ctypes
import shutil
import subprocess
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import edgekit as ek
import edgekit.packing
from edgekit.errors import InputError, UsageError
from edgekit.formats.tflite.model import Model, Operator, Quantization, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write
from edgekit.packing.archive import read
from edgekit.packing.archive import write as archive_of
from edgekit.packing.channel import Channel
from edgekit.packing.coder import Decoder, Encoder
from edgekit.packing.cutting import Cut, Selection, code_cut
from edgekit.packing.damage import Damaged
from edgekit.packing.several import join, parts_of
from tests.packing.samples import int8_file
from tests.packing.sizes import int8_sizes

SOURCE = Path(edgekit.packing.__file__).parent / "c"
RANDOM = np.random.default_rng(3)
INTEGERS = {
    "conv": RANDOM.integers(-127, 128, (12, 2, 1, 8), np.int8),
    "depthwise": RANDOM.integers(-127, 128, (1, 3, 3, 12), np.int8),
    "linear": RANDOM.integers(-127, 128, (10, 2 * 12), np.int8),
}
FLOATS = {name: (data * 0.01).astype(np.float32) for name, data in INTEGERS.items()}


def network(weights: dict[str, np.ndarray]) -> bytes:  # type: ignore[type-arg]
    """A file that holds these weights, each read by an operator."""
    kind = TensorType.INT8 if weights["conv"].dtype == np.int8 else TensorType.FLOAT32
    quantization = Quantization((0.5,), (0,)) if kind == TensorType.INT8 else None
    tensors = [Tensor("x", (1, 8), kind, None, quantization), Tensor("y", (1, 10), kind, None, quantization)]
    operators = []
    for name, data in weights.items():
        tensors.append(Tensor(name, data.shape, kind, data.tobytes(), quantization))
        operators.append(Operator(BuiltinOperator.FULLY_CONNECTED, (0, len(tensors) - 1), (1,)))
    return write(Model((Subgraph(tuple(tensors), (0,), (1,), tuple(operators)),)), regular=True)


def narrower(whole: dict[str, np.ndarray], signs: bool = True) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Half of the channels: of the convolution's outputs those of both of its groups; of the others the first ones."""
    kept = np.r_[0:3, 6:9]
    flat = (np.arange(2)[:, None] * 12 + kept).ravel()
    rows = {
        "conv": whole["conv"][kept][..., :4],
        "depthwise": whole["depthwise"][..., kept],
        "linear": whole["linear"][:, flat],
    }
    by = {name: np.where(np.arange(len(kept)) % 3 == 1, -1, 1) for name in ("conv", "depthwise")} if signs else {}
    if "conv" in by:
        rows["conv"] = rows["conv"] * by["conv"].astype(np.int8)[:, None, None, None]
        rows["depthwise"] = rows["depthwise"] * by["depthwise"].astype(np.int8)
    return rows


def scaled(whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """The same of floats, each row times a number of its own; one row of the linear layer is of its own making."""
    rows = narrower(whole, signs=False)
    factors = RANDOM.normal(0, 1, 6).astype(np.float32)
    rows["conv"] = rows["conv"] * factors[:, None, None, None]
    rows["depthwise"] = rows["depthwise"] * factors
    rows["linear"] = rows["linear"] * RANDOM.normal(0, 1, 10).astype(np.float32)[:, None]
    rows["linear"][3] = RANDOM.normal(0, 1, rows["linear"].shape[1])
    return rows


#: Two files as an older packer wrote them, the weights of the second as a part of the first one's.
VERSION_1 = (
    "MN3)%kOv|NInwNaD|!#X2mttzL)uld2vIA-9l)!OZQq2gzoOO&lWwHTpe}8egeEHGC?2k^;G(y84AqzPTtE&Cs9O!fHZuT#j_|=RgHO`tPR7=i9X8)MAY}Ciu$"
    "aJe0024T0-mg&S`}71B@ECv=De*~(SNB#je>j!REyd0`^k>PJ@@dn9huLb4chxRL1&(|hD4U3+{4tUlIqV>23j33#0j1l35;F<QIgcIcnRk^Vl<LsV{$Lu5(tYL"
    "D~aAi)Su~Ue&Uy?qb?Y#V&**58#HPca$XqdPd69afWKdgF9q0l55UMkkFM?LtKou05V0?7oc=28BNFmIM^r5}u1uuUTlHNfeBMSmpj{v4U$c$*`y}7Tl(4~&QCk"
    "@"
)

CASES = {
    "integers": {"1": network(INTEGERS), "0.5": network(narrower(INTEGERS))},
    "floats": {"1": network(FLOATS), "0.5": network(scaled(FLOATS))},
}


@cache
def packed_of(name: str) -> bytes:
    return ek.pack(CASES[name]).data


@pytest.mark.parametrize("name", CASES)
def test_an_archive_of_sizes_is_hardly_larger_than_that_of_the_largest(name: str) -> None:
    files = CASES[name]
    alone, packed = archive_of(files["1"]).data, packed_of(name)
    own = 4 * 12 if name == "floats" else 0  # the row that is no part
    assert len(packed) < len(alone) + own + (130 if name == "integers" else 250)
    assert ek.unpack(packed, width=0.5) == files["0.5"]
    assert join(files)[parts_of(join(files))[0].start :].startswith(files["1"])


def gru(units: int) -> bytes:
    """An ONNX file of a GRU with the first of 16 units: a gate's rows are the first ones of the larger gate's."""
    import onnx.helper
    import onnx.numpy_helper

    own = np.random.default_rng(7)
    inner, back = own.normal(0, 1, (1, 3, 16, 8)), own.normal(0, 1, (1, 3, 16, 16))
    weights = {"W": inner[:, :, :units], "R": back[:, :, :units, :units]}
    tensors = [
        onnx.numpy_helper.from_array(data.reshape(1, 3 * units, -1).astype(np.float32), name) for name, data in weights.items()
    ]
    node = onnx.helper.make_node("GRU", ["x", "W", "R"], ["y"], hidden_size=units)
    values = [onnx.helper.make_tensor_value_info(name, 1, None) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "gru", values[:1], values[1:], tensors)
    return bytes(onnx.helper.make_model(graph).SerializeToString())


def test_gates_of_a_recurrence_are_parts_of_the_larger_ones() -> None:
    files = {"1": gru(16), "0.5": gru(8)}
    packed = ek.pack(files).data
    assert len(packed) < len(archive_of(files["1"]).data) + 150  # its own weights are 1,536 bytes
    assert ek.unpack(packed, width=0.5) == files["0.5"] and ek.unpack(packed, width=1.0) == files["1"]


def test_several_files_that_were_packed_as_version_1_still_unpack() -> None:
    archive = base64.b85decode(VERSION_1)
    files = [ek.unpack(archive, width=name) for name in ("1", "0.5")]
    assert archive[3] == 1 and [zlib.crc32(content) for content in files] == [0xD9925597, 0xC938E038]


SIZED = int8_sizes((1.0,))["1"]


@pytest.mark.parametrize(
    ("first", "second"),
    [(SIZED, b"no network at all"), (network({"conv": INTEGERS["conv"][:6]}), SIZED), (SIZED, int8_file(24, 60))],
    ids=["lacks all", "has more", "has much more"],
)
def test_files_that_are_no_sizes_of_one_network_pack_all_the_same(first: bytes, second: bytes) -> None:
    joined = join({"1": first, "other": second})
    assert read(archive_of(joined).data) == joined


def test_each_of_several_files_begins_at_a_multiple_of_16_bytes() -> None:
    files = {"1": b"abc" * 7, "0.5": b"", "0.25": bytes(33)}
    joined = join(files)
    assert {part.name: joined[part.start : part.start + part.size] for part in parts_of(joined)} == files
    assert all(part.start % 16 == 0 for part in parts_of(joined))
    assert parts_of(b"anything else") == ()
    for end in range(8, len(joined)):
        with pytest.raises(Damaged):
            parts_of(joined[:end])


def test_a_width_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    packed = ek.pack({"1": b"one", "0.5": b"half"}, tmp_path / "net.ekz")
    with pytest.raises(UsageError, match="2 files") as caught:
        ek.unpack(tmp_path / "net.ekz")
    assert "1, 0.5" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"none is called '0\.3'"):
        ek.unpack(packed.data, width=0.3)
    assert ek.unpack(packed.data, width="1") == ek.unpack(packed.data, width="1.0") == b"one"
    with pytest.raises(UsageError, match="one file"):
        ek.unpack(ek.pack(b"something").data, width=0.5)
    with pytest.raises(InputError, match="nothing to pack"):
        ek.pack({})


def test_what_a_part_says_of_numbers_that_are_not_there_is_damage() -> None:
    before = bytes(range(64))
    axis = Selection((4, 4), 2)
    for cut, size in (
        (Cut(0, axis, Selection((4,)), False, b"\1" * 8), 16),  # another size
        (Cut(60, axis, Selection((4,)), False, b"\1" * 8), 32),  # beyond the end
        (Cut(0, axis, Selection((0, 1 << 31)), False, b""), 0),
    ):
        encoder = Encoder()
        channel = Channel(encoder, 12)
        channel.number(cut.source)
        for each in (cut.rows, cut.columns):
            channel.number(len(each.runs))
            for number in (*each.runs, each.repeats):
                channel.number(number)
        channel.number(0)
        channel.number(0)
        with pytest.raises(Damaged):
            code_cut(Channel(Decoder(encoder.finish()), 12), size, 8, None, None, before)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    library = tmp_path_factory.mktemp("ekz") / "ekz.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", str(SOURCE / "ekz.c"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("name", CASES)
def test_the_c_decoder_makes_every_size(decoder: ctypes.CDLL, name: str) -> None:
    packed = packed_of(name)
    info = (ctypes.c_size_t * 2)()
    assert decoder.ekz_info(packed, ctypes.c_size_t(len(packed)), info) == 0
    joined, workspace = ctypes.create_string_buffer(info[0]), ctypes.create_string_buffer(info[1])
    sizes = [ctypes.c_size_t(n) for n in (len(packed), info[0], info[1])]
    assert decoder.ekz_unpack(packed, sizes[0], joined, sizes[1], workspace, sizes[2]) == 0
    assert joined.raw == read(packed)
    for width, content in CASES[name].items():
        part, size = ctypes.c_void_p(), ctypes.c_size_t()
        asked = (joined, sizes[1], width.encode(), ctypes.byref(part), ctypes.byref(size))
        assert decoder.ekz_part(*asked) == 0
        assert ctypes.string_at(part.value or 0, size.value) == content
    assert decoder.ekz_part(joined, sizes[1], b"0.3", ctypes.byref(part), ctypes.byref(size)) == 6
    assert decoder.ekz_part(joined, sizes[1], b"0.55", ctypes.byref(part), ctypes.byref(size)) == 6
    assert decoder.ekz_part(joined, ctypes.c_size_t(20), b"1", ctypes.byref(part), ctypes.byref(size)) != 0


def test_damaged_sizes_never_unpack_to_something_else(decoder: ctypes.CDLL) -> None:
    packed = bytearray(packed_of("floats"))
    joined = ctypes.create_string_buffer(1 << 17)
    for place in RANDOM.integers(13, len(packed), 60).tolist():
        damaged = bytearray(packed)
        damaged[place] ^= 1 << (place % 8)
        info = (ctypes.c_size_t * 2)()
        archive = (bytes(damaged), ctypes.c_size_t(len(damaged)))
        if decoder.ekz_info(*archive, info) == 0 and info[0] <= len(joined) and info[1] < 1 << 26:
            workspace = ctypes.create_string_buffer(info[1])
            room = (ctypes.c_size_t(info[0]), workspace, ctypes.c_size_t(info[1]))
            assert decoder.ekz_unpack(*archive, joined, *room) != 0
