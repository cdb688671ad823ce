"""The larger network that teaches LeNet-5 in ``benchmarks.deep_compression``: once trained, once asked about every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import edgekit as ek
from benchmarks.lottery import Arrays

#: Temperature of its answers, and the share that they have in the loss; the labels have the rest.
TEMPERATURE, SHARE = 2.0, 0.9

_EPOCHS = 12


class Teacher(nn.Sequential):
    """Five convolutions of 3 x 3 with batch norms, 24 to 96 filters; 157,000 parameters, 12 million multiplications."""

    def __init__(self) -> None:
        first, second = [*_layer(1, 24), nn.MaxPool2d(2)], [*_layer(24, 48), *_layer(48, 48), nn.MaxPool2d(2)]
        third = [*_layer(48, 96), *_layer(96, 96)]
        super().__init__(*first, *second, *third, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))


def _layer(before: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(before, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored half of the time, and moved by at most a pixel each way."""
    count, size = len(images), images.shape[-1]
    mirrored = torch.rand(count, generator=generator) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    rows, columns = (torch.randint(0, 3, (count, 1), generator=generator) + torch.arange(size) for _ in range(2))
    return F.pad(images, (1, 1, 1, 1))[torch.arange(count)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def taught(scores: Tensor, targets: Tensor) -> Tensor:
    """The loss of Hinton et al. (arXiv:1503.02531) with answers that are known beforehand.

    Args:
        scores: (batch, 10) logits.
        targets: (batch, 11) the teacher's softened probabilities, and the label.
    """
    soft = F.kl_div((scores / TEMPERATURE).log_softmax(1), targets[:, :-1], reduction="batchmean")
    return (1 - SHARE) * F.cross_entropy(scores, targets[:, -1].long()) + SHARE * TEMPERATURE**2 * soft


def with_answers(train: Arrays, work: Path) -> Arrays:
    """The training images with what ``taught`` wants for targets; the teacher is trained where ``work`` has none yet."""
    kept = work / f"teacher-{_EPOCHS}-{len(train[0])}-logits.npy"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, _logits(train))
    soft = (torch.from_numpy(np.load(kept)) / TEMPERATURE).softmax(1).numpy()
    return train[0], np.concatenate([soft, train[1][:, None].astype(np.float32)], 1)


def _logits(train: Arrays) -> NDArray[np.float32]:
    """What the teacher, trained on these images, answers to them as they are: (N, 10)."""
    torch.manual_seed(0)
    blank = ek.load(Teacher(), (torch.zeros(2, 1, 28, 28),))
    how = {"optimizer": "sgd", "lr": 0.1, "nesterov": True, "warmup": 1.0, "batch_size": 128, "validation": 0.0, "seed": 0}
    step = ek.FineTune(epochs=_EPOCHS, augment=f"{__name__}:moved", **how)
    network = step.apply(blank, ek.Data(train=train)).module().eval()
    with torch.inference_mode():
        scores = torch.cat([network(batch) for batch in torch.from_numpy(train[0]).split(1000)])
    right = 100 * float((scores.argmax(1).numpy() == train[1]).mean())
    print(f"the teacher has {right:.2f} % of the training images right", flush=True)
    return np.asarray(scores.numpy(), np.float32)
