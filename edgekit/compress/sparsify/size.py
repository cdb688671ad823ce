"""What sparse weights take once something compresses them: estimates of a file's or an update's size."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor


def compressed_sizes(weights: Iterable[Tensor]) -> dict[str, int]:
    """Bytes of weights, as they are and compressed.

    ``gzip``: float weights through DEFLATE at its highest level. ``gzip_int8``: the same of 8-bit weights with one scale
    for each tensor (largest magnitude / 127). ``entropy_int8``: Shannon's bound for these, sum of -log2(p) / 8 with the
    frequencies of each tensor's values: what a code of single values can reach at best (its table not counted).
    """
    sizes = {"float": 0, "gzip": 0, "int8": 0, "gzip_int8": 0, "entropy_int8": 0}
    entropy = 0.0
    for weight in weights:
        array = weight.detach().cpu().contiguous().float().numpy()
        integers = _int8(array)
        sizes["float"] += array.nbytes
        sizes["gzip"] += len(zlib.compress(array.tobytes(), 9))
        sizes["int8"] += integers.nbytes
        sizes["gzip_int8"] += len(zlib.compress(integers.tobytes(), 9))
        counts = np.unique(integers, return_counts=True)[1]
        entropy += float(-(counts * np.log2(counts / integers.size)).sum()) / 8
    return {**sizes, "entropy_int8": int(np.ceil(entropy))}


def _int8(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    largest = float(np.abs(array).max(initial=0.0))
    return np.rint(array / (largest / 127 or 1.0)).astype(np.int8)
