"""Rounding that learns: which weights go up and which go down, by what the layer then makes of its input."""
