"""ONNX files read as plain data, without ONNX Runtime."""
