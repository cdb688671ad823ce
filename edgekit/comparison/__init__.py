"""Two forms of a model on the same inputs."""

from edgekit.comparison.compared import compare
from edgekit.comparison.result import Comparison, LayerRow, OutputError

__all__ = ["Comparison", "LayerRow", "OutputError", "compare"]
