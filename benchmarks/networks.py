"""The networks that are measured, with their data. They and the files of other converters lie outside the repository.

``EDGEKIT_DATA`` names the folder of data (default ``../shared/data``); the folder ``reference`` beside it holds
``mlperf_tiny.py`` and ``zoo.py``, which build MLPerf Tiny's networks with trained weights, a MobileNetV2 and a transformer.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

DATA = Path(os.environ.get("EDGEKIT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
REFERENCE = DATA.parent / "reference"

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """A network that is measured.

    Attributes:
        name: as the reference folder calls it.
        title: as people call it.
        peer: TensorFlow's int8 file of the same network in the folder of data, or None.
        calibration: how many samples it is calibrated with.
        held_out: how many others its figures are taken on.
    """

    name: str
    title: str
    peer: str | None = None
    calibration: int = 64
    held_out: int = 128

    def module(self, *, softmax: bool = True) -> nn.Module:
        """The network with its weights, in evaluation mode; without its final softmax if so asked."""
        if self.name == "resnet20":
            from examples.resnet20_cifar.net import checkpoint

            return checkpoint(DATA)
        source = _reference("mlperf_tiny" if self.peer else "zoo")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the reference leaves its files to the garbage collector
            return source.build(self.name, softmax=softmax)[0]  # type: ignore[no-any-return]

    def example(self) -> Any:
        """One input of zeros, batch 1."""
        import torch

        shape = (3, 32, 32) if self.name == "resnet20" else _reference("zoo").SHAPES[self.name]
        return torch.zeros(1, *shape)

    def samples(self, count: int, seed: int) -> NDArray[np.float32]:
        """Inputs by seed; of ResNet-20, training images chosen by it."""
        if self.name == "resnet20":
            with np.load(DATA / "cifar10.npz") as arrays:
                images = arrays["x_train"]
            return normalized(images[np.random.default_rng(seed).choice(len(images), count, replace=False)])
        made = _reference("mlperf_tiny" if self.peer else "zoo").data(self.name, count, seed)
        return np.asarray(made.numpy(), np.float32)

    @property
    def peer_file(self) -> Path | None:
        """TensorFlow's int8 file, or None."""
        return None if self.peer is None else DATA / "models" / f"{self.peer}.tflite"


MLPERF_TINY = (
    Network("resnet8", "ResNet-8", "resnet8_cifar10_int8_tf"),
    Network("dscnn", "DS-CNN", "dscnn_kws_int8_tf"),
    Network("mbv1_025", "MobileNetV1-0.25", "mobilenet_v1_025_vww_int8_tf"),
    Network("fcae", "FC autoencoder", "autoencoder_ad_int8_tf"),
)
RESNET20 = Network("resnet20", "ResNet-20", calibration=256)
MOBILENET_V2 = Network("mbv2", "MobileNetV2-224", calibration=16, held_out=16)
VIT = Network("vit", "ViT, 4 blocks")


def test_images(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The first test images of CIFAR-10, normalised, and their labels."""
    x, y = images("test")
    return x[:count], y[:count]


def images(part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All images of CIFAR-10's ``part`` ("train" or "test") that are there, normalised, and their labels."""
    with np.load(DATA / "cifar10.npz") as arrays:
        return normalized(arrays[f"x_{part}"]), arrays[f"y_{part}"].reshape(-1).astype(np.int64)


def available() -> bool:
    """The data and the reference networks are there."""
    return (DATA / "models").is_dir() and (REFERENCE / "mlperf_tiny.py").is_file()


def _reference(name: str) -> Any:
    if str(REFERENCE) not in sys.path:
        sys.path.insert(0, str(REFERENCE))
    return importlib.import_module(name)


def normalized(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    scaled = (images.astype(np.float32) / 255 - np.float32(_MEAN)) / np.float32(_STD)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
