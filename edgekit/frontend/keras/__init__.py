"""Keras models and SavedModels as a source: TensorFlow's own converter makes a float .tflite file of them."""
