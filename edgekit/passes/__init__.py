"""Exact passes: they keep the function of a graph, and are proved by comparing outputs."""

from edgekit.passes.base import Pass, PassRecord, Rewrite, Skip, Skipped, run_passes
from edgekit.passes.pipeline import BARE_NORMS, DECOMPOSE, EXACT

__all__ = ["BARE_NORMS", "DECOMPOSE", "EXACT", "Pass", "PassRecord", "Rewrite", "Skip", "Skipped", "run_passes"]
