"""One file per family of ONNX operators; ``edgekit.frontend.onnx.table`` imports them all."""
