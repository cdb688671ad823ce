"""ONNX files become graphs: one function per operator in ``lowerings/``."""
