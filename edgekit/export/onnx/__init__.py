"""Graph -> ONNX file. ``emitters/`` has one function per op; the folder listing there is the support matrix."""

from edgekit.export.onnx.convert import LOWEST_OPSET, export, lowest_opset

__all__ = ["LOWEST_OPSET", "export", "lowest_opset"]
