"""The memory that the C decoder needs for an archive, by the same sums that it makes itself."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.packing.residuals import SLOTS
from edgekit.packing.symbols import Matrix

#: Bytes that the C decoder needs for a section of the table.
_SECTION = 40


def text_bytes(table_bits: int) -> int:
    """Of the text model: slots, weights, window, heads of matches."""
    return 4 * (256 + (7 << table_bits) + 65) + 8 * 12 * 10 + (1 << 16) + 4 * (1 << 14)


def matrix_bytes(matrix: Matrix) -> int:
    """Of the matrix model: slots and weights of both mixers, six numbers and three bytes for each column."""
    nodes = 1 << matrix.bits
    flags = 4 * (matrix.columns + 2475) + 8 * 16 * 10
    values = 4 * (nodes + 4 * 18 * nodes + 25 * nodes) + 8 * 4 * matrix.bits * 7
    return flags + values + 4 * 6 * matrix.columns + 3 * matrix.columns + matrix.period + 1


def several_bytes(sections: int) -> int:
    """Of what archives of several files have beside: further slots and weights of the text model, residuals, the table."""
    return 4 * (64 + 4096) + 8 * 8 * 10 + 4 * SLOTS + 8 * 2 * 5 + _SECTION * sections + 64


def workspace_of(table_bits: int, matrices: Iterable[Matrix], masked: int, sections: int | None = None) -> int:
    """Bytes for an archive: its text model, the largest of its matrices and masks, and room for alignment.

    Args:
        table_bits: of the text model.
        matrices: all that go through the matrix model.
        masked: elements of the largest sparse array.
        sections: of several files in one; None for one file.
    """
    largest = max((matrix_bytes(matrix) for matrix in matrices), default=0)
    own = text_bytes(table_bits) + largest + (masked + 7) // 8 + 256
    return own if sections is None else own + several_bytes(sections)
