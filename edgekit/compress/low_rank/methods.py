"""The methods by the names that users give them."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.low_rank.matrix import MatrixSvd
from edgekit.compress.low_rank.spatial import SpatialSvd
from edgekit.compress.low_rank.tucker import Tucker2
from edgekit.compress.rewriting.factorization import Factorization


def methods(name: str, iterations: int) -> Sequence[type[Factorization]]:
    """One method, or all for "auto"; Tucker-2 with so many turns of HOOI."""

    class Turned(Tucker2):
        """Tucker-2 with the step's number of turns."""

    Turned.iterations = iterations
    every: dict[str, type[Factorization]] = {"svd": MatrixSvd, "tucker2": Turned, "spatial_svd": SpatialSvd}
    return tuple(every.values()) if name == "auto" else (every[name],)
