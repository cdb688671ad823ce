"""The families of the operator table, in the order of the page."""

from __future__ import annotations

from benchmarks.operators import (
    activations,
    attention,
    comparisons,
    convolutions,
    elementwise,
    embeddings,
    norms,
    pools,
    products,
    recurrent,
    reductions,
    resizing,
    shapes,
    signals,
)
from benchmarks.operators.row import Row

FAMILIES: dict[str, tuple[Row, ...]] = {
    "Convolutions and linear layers": convolutions.ROWS,
    "Activations": activations.ROWS,
    "Normalisation": norms.ROWS,
    "Pools": pools.ROWS,
    "Functions of one element": elementwise.FUNCTIONS,
    "Arithmetic": elementwise.ARITHMETIC,
    "Comparisons and selection": comparisons.ROWS,
    "Reductions": reductions.ROWS,
    "Views": shapes.VIEWS,
    "Parts": shapes.PARTS,
    "Joins": shapes.JOINS,
    "Rearrangements": shapes.ARRANGEMENTS,
    "Pads": shapes.PADS,
    "Resizing": resizing.ROWS,
    "Matrix products": products.ROWS,
    "Attention": attention.ROWS,
    "Recurrent layers": recurrent.ROWS,
    "Look-ups": embeddings.ROWS,
    "Signals": signals.ROWS,
}

ROWS: tuple[Row, ...] = tuple(row for rows in FAMILIES.values() for row in rows)
