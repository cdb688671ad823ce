"""The user's data: files, arrays, loaders and callables become checked arrays in the order of the model's inputs."""

from edgekit.data.check import InputSpec, raw_scale
from edgekit.data.sources import Data, calibration_arrays, evaluation_arrays, repeatable, training_arrays

__all__ = ["Data", "InputSpec", "calibration_arrays", "evaluation_arrays", "raw_scale", "repeatable", "training_arrays"]
