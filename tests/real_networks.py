"""Trained networks and data that lie in EDGEKIT_DATA, for the tests that measure on them."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import nn

from examples.resnet20_cifar.net import checkpoint as resnet20

__all__ = ["cifar10", "mlperf_tiny", "resnet20", "tiny_network"]

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def cifar10(data: Path, part: str, indices: Sequence[int] | slice = slice(None)) -> tuple[Any, Any]:
    """Images (n, 3, 32, 32) as ResNet-20 was trained with them, and labels; ``part`` is train or test."""
    with np.load(data / "cifar10.npz") as arrays:
        pixels, labels = arrays[f"x_{part}"][indices], arrays[f"y_{part}"][indices]
    return np.ascontiguousarray(((pixels.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2)), labels.reshape(-1)


def mlperf_tiny(data: Path) -> ModuleType:
    """The module that builds MLPerf Tiny's four networks and makes their inputs; it stands beside the folder of real data."""
    path = data.parent / "reference" / "mlperf_tiny.py"
    if not path.exists():
        pytest.skip("EDGEKIT_DATA has no folder 'reference' beside it")
    spec = importlib.util.spec_from_file_location("mlperf_tiny", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def tiny_network(zoo: ModuleType, name: str, **settings: Any) -> tuple[nn.Module, tuple[int, ...]]:
    """One of them with its weights, and its input's shape without batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the files of the weights to the garbage collector
        return zoo.build(name, **settings)  # type: ignore[no-any-return]
