"""What sections are written to and read from: text, modelled bits and raw bytes, with an account of where the bytes go."""

from __future__ import annotations

from edgekit.packing.along import Along, Told
from edgekit.packing.coder import Decoder, Encoder
from edgekit.packing.damage import Damaged
from edgekit.packing.residuals import Residuals
from edgekit.packing.symbols import Matrix, code_symbols
from edgekit.packing.text import Text

#: Decisions of the matrix model that an archive may need at most, counted as elements times (1 + bits of a symbol).
MOST_DECISIONS = 1 << 22


class Channel:
    """One archive being written or read; both ways have the same face, so that a section's form is written once.

    Attributes:
        coder: of all modelled bits.
        writing: which way it goes.
        account: bytes by what they are for, while writing.
        matrices: those that went through the matrix model.
        masked: elements of the largest sparse array.
        several: it is of several files in one.
        along: of several files, what is expected of one by the first; None before their sections are known.
        residuals: of several files, the model for numbers that are like others.
    """

    def __init__(
        self, coder: Encoder | Decoder, table_bits: int, raw: bytes | memoryview = b"", *, several: bool = False
    ) -> None:
        """A channel at its beginning.

        Args:
            coder: an Encoder to write, a Decoder to read.
            table_bits: see ``Text``.
            raw: the raw bytes to read.
            several: it is of several files in one.
        """
        self.coder = coder
        self.writing = isinstance(coder, Encoder)
        self.account: dict[str, int] = {}
        self.matrices: list[Matrix] = []
        self.masked = 0
        self.several = several
        self.along: Along | None = None
        self._text = Text(coder, table_bits, several=several)
        self.residuals = Residuals(coder) if several else None
        self._given = bytes(raw)
        self._written = bytearray()
        self._raw_at = 0
        self._decisions = 0
        self._counted = 0

    @property
    def raw(self) -> bytes:
        """The raw bytes that were written."""
        return bytes(self._written)

    def number(self, given: int = 0, told: int = -1) -> int:
        """A whole number from 0; ``told`` is what is expected, -1 for nothing."""
        return self._text.number(given, told)

    def below(self, limit: int, given: int = 0, *, what: str = "a number", told: int = -1) -> int:
        """A whole number from 0 to ``limit`` - 1; Damaged where the one read is not."""
        value = self._text.number(given, told)
        if value >= limit:
            raise Damaged(f"{what} in it can't be {value}")
        return value

    def text(self, count: int, given: bytes | None, told: Told | None = None) -> bytes:
        """Bytes through the text model; ``given`` is None when reading, ``told`` what is expected."""
        out = self._text.code_all(count, given, told)
        self._check()
        return out

    def verbatim(self, count: int, given: bytes | None) -> bytes:
        """Bytes as they are."""
        if given is not None:
            self._written += given
            return given
        out = self._given[self._raw_at : self._raw_at + count]
        self._raw_at += count
        if len(out) < count:
            raise Damaged("it ends too early")
        return out

    def symbols(self, matrix: Matrix, given: list[int] | None) -> list[int]:
        """A matrix through its model; ``given`` is None when reading."""
        self.matrices.append(matrix)
        self.spend(matrix.count * (1 + matrix.bits))
        out = code_symbols(self.coder, matrix, given, self._check)
        self._check()
        return out

    def spend(self, decisions: int) -> None:
        """Counts decisions that are to be coded; Damaged where there are too many."""
        self._decisions += decisions
        if self._decisions > MOST_DECISIONS:
            raise Damaged("it has more modelled weights than a packer writes")

    def booked(self, purpose: str) -> None:
        """Puts the bytes written since the last call to the account of ``purpose``."""
        if isinstance(self.coder, Encoder):
            now = self.coder.written + len(self._written)
            self.account[purpose] = self.account.get(purpose, 0) + now - self._counted
            self._counted = now

    def _check(self) -> None:
        if isinstance(self.coder, Decoder) and self.coder.spent > 4:
            raise Damaged("it ends too early")
