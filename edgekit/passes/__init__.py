"""Exact passes: they keep the function of a graph, and are proved by comparing outputs."""

from edgekit.passes.base import Pass, PassRecord, Rewrite, Skip, Skipped, run_passes
from edgekit.passes.pipeline import DECOMPOSE, EXACT

__all__ = ["DECOMPOSE", "EXACT", "Pass", "PassRecord", "Rewrite", "Skip", "Skipped", "run_passes"]
