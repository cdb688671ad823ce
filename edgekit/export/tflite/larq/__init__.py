"""Files for Larq Compute Engine: layers of signs as its custom operators, which hold 32 signs in an integer."""

from edgekit.export.tflite.larq.emitters import EMITTERS
from edgekit.export.tflite.larq.fit import binary_layers, why_not

__all__ = ["EMITTERS", "binary_layers", "why_not"]
