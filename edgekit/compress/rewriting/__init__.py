"""Layers rewritten as chains of cheaper ones: what the steps ``separable`` and ``low_rank`` share."""
