"""Graph -> ONNX file. ``emitters/`` has one function per op; the folder listing there is the support matrix."""

from edgekit.export.onnx.convert import DEFAULT_OPSET, export

__all__ = ["DEFAULT_OPSET", "export"]
