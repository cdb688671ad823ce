"""Archives of several files that were changed: Python and C say the same of each, soon, and never read where nothing is."""

from __future__ import annotations

import contextlib
import random
import zlib
from functools import cache
from pathlib import Path

import pytest

from edgekit.packing.archive import read, write
from edgekit.packing.damage import Damaged
from edgekit.packing.several import join
from tests.packing.c_driver import unpacked
from tests.packing.mutation import forged, mutants
from tests.packing.sizes import int8_sizes

WIDTHS = (1.0, 0.5)

#: Bytes of the archive before its checksums: the mark, and the size of the file in two.
_HEAD = 6


@cache
def packed() -> tuple[bytes, bytes]:
    """The files in one, and their archive."""
    files = join(int8_sizes(WIDTHS))
    return files, write(files).data


def changed(count: int, seed: int) -> list[bytes]:
    """Copies of the archive, changed anywhere, where its table stands, at the end, and one with another beginning."""
    archive = packed()[1]
    no_archive = bytes([archive[0] ^ 1]) + archive[1:]
    return [
        no_archive,
        *mutants(archive, count - count // 2, seed),
        *forged(archive, 20, count // 4, seed),
        *ends(count // 4, seed),
    ]


def ends(count: int, seed: int) -> list[bytes]:
    """Copies with a bit turned in the last bytes: much of what they hold is still there."""
    archive = packed()[1]
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        data = bytearray(archive)
        data[-rng.randrange(1, 25)] ^= 1 << rng.randrange(8)
        out.append(bytes(data))
    return out


def mended(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes | None]:
    """The archive with the checksums of what Python makes of it, and that; None where it makes nothing."""
    made: list[bytes] = []
    checksum = zlib.crc32

    def crc(data: bytes) -> int:
        made.append(bytes(data))
        return checksum(data)

    with monkeypatch.context() as patch, contextlib.suppress(Damaged):
        patch.setattr(zlib, "crc32", crc)
        read(archive)
    if not made:
        return archive, None
    checks = checksum(made[0]).to_bytes(4, "little") + zlib.adler32(made[0]).to_bytes(4, "little")
    return archive[:_HEAD] + checks + archive[_HEAD + len(checks) :], made[0]


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_changed_archive_of_sizes_gives_an_error_or_the_files(unpacker: Path, count: int) -> None:
    seen = set()
    for error, data in unpacked(unpacker, changed(count, seed=1), 240):
        assert data == (b"" if error else packed()[0])
        seen.add(error)
    assert {1, 3, 4} <= seen <= {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_c_makes_of_a_changed_archive_what_python_makes_of_it(
    unpacker: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Checksums are mended, so that whatever is still an archive is compared to the last byte."""
    pairs = [mended(archive, monkeypatch) for archive in ends(count, seed=count)]
    answers = unpacked(unpacker, [archive for archive, _ in pairs], 240)
    for (error, data), (_, wanted) in zip(answers, pairs, strict=True):
        assert (None if error else data) == wanted
    assert sum(wanted is not None for _, wanted in pairs) > count // 6


@pytest.mark.parametrize("count", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_files_that_are_anything_but_sizes_of_a_network_come_back(unpacker: Path, count: int) -> None:
    """Bytes of them are replaced before they are packed: scales that are no numbers, offsets that lead anywhere."""
    rng = random.Random(count)
    joined = []
    for seed in range(count):
        files = {name: bytearray(content) for name, content in int8_sizes(WIDTHS, seed).items()}
        for content in files.values():
            for _ in range(rng.choice((0, 2, 20))):
                at = rng.randrange(len(content) // 2, len(content)) & ~3
                content[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\x7f\x7f", b"\0\0\x80\xbf", rng.randbytes(4)))
        joined.append(join({name: bytes(content) for name, content in files.items()}))
    archives = [write(data).data for data in joined]
    assert unpacked(unpacker, archives, 240) == [(0, data) for data in joined]
    assert read(archives[0]) == joined[0]
