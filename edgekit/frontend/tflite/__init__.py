"""``.tflite`` files as a source: their operators become the graph's, channels first, weights trainable."""
