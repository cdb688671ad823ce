"""The TFLite exporter: ``exporter.export(graph, options) -> bytes``."""
