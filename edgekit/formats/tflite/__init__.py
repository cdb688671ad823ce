"""TensorFlow Lite files: ``model`` (plain data), ``read`` and ``write``, on numpy and flatbuffers alone."""
