"""Random networks of the operator table: PyTorch against LiteRT and ONNX Runtime, and integers against their simulation."""
