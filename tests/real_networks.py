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
import torch
import torch.nn.functional as F
from torch import nn

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


class Block(nn.Module):
    """Two convolutions and a shortcut that, where sizes change, takes every second pixel and pads channels with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            quarter = y.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """ResNet-20 for CIFAR-10 with parameter-free shortcuts (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(3)])
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.shape[3]).flatten(1))


def resnet20(data: Path) -> ResNet20:
    """With its trained weights."""
    module = ResNet20()
    state = torch.load(data / "models" / "resnet20_cifar10.th", weights_only=True, map_location="cpu")["state_dict"]
    module.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    return module.eval()


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
