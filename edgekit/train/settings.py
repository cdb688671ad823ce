"""How a graph is trained: plain data, checked when it is written down."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from edgekit.config import is_reference
from edgekit.errors import UsageError
from edgekit.tables import did_you_mean

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "linear", "constant", "step")
LOSSES = ("auto", "cross_entropy", "mse", "l1", "bce")
AUGMENTATIONS = ("none", "flip_crop")
PRECISIONS = ("float32", "bfloat16")

#: Learning rate where none is given.
LEARNING_RATES = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3}


@dataclass(frozen=True)
class Training:
    """How a graph is trained.

    Attributes:
        epochs: passes over the training part; 0 trains nothing.
        batch_size: samples a step (of each process).
        optimizer: "sgd", "adam" or "adamw", as torch has them.
        lr: highest learning rate; None: 0.05 for sgd, 0.001 for the others.
        momentum: of sgd.
        nesterov: of sgd.
        weight_decay: of weights with two axes or more; biases and scales of norms have none.
        schedule: of the learning rate over steps: "cosine" or "linear" down to zero, "constant", or "step": a tenth after
            half of the steps and a hundredth after three quarters.
        warmup: epochs (or a fraction of one) in which the rate rises from zero in a line first.
        label_smoothing: of cross entropy, from 0 to below 1.
        clip_norm: gradients are scaled to this norm at most; None: as they are.
        sparsity: L1 on the scales of batch norms by subgradient (Network Slimming, arXiv:1708.06519: 1e-4 or 1e-5).
        seed: of order, augmentation, dropout and the validation part.
        validation: share of the training data (of every class, where labels are classes) that is held out to choose the best
            epoch; 0: the last epoch is kept.
        patience: training ends after so many epochs without a better one; 0: never.
        augment: "none", "flip_crop" (images: mirrored half of the time, padded by an eighth and cropped), or
            ``package.module:callable`` that takes a batch of every input and a ``torch.Generator`` and returns such batches.
        loss: "auto" (cross entropy for integer targets, mean squared error for floats), "cross_entropy", "mse", "l1", "bce",
            or ``package.module:callable`` that takes the outputs and the targets and returns a scalar.
        precision: "float32", or "bfloat16" for automatic mixed precision where the device has it.

    Raises:
        UsageError: a field that can't be.
    """

    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "adamw"
    lr: float | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    sparsity: float = 0.0
    seed: int = 0
    validation: float = 0.1
    patience: int = 0
    augment: str = "none"
    loss: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("precision", self.precision, PRECISIONS)
        if not is_reference(self.loss):
            _one_of("loss", self.loss, LOSSES)
        if not is_reference(self.augment):
            _one_of("augment", self.augment, AUGMENTATIONS)
        for name, least in (("epochs", 0), ("batch_size", 1), ("seed", 0), ("patience", 0)):
            if not isinstance(value := getattr(self, name), int) or isinstance(value, bool) or value < least:
                raise UsageError(f"'{name}' is a whole number from {least}, not {value!r}")
        for name in ("weight_decay", "warmup", "sparsity", "momentum"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise UsageError(f"'{name}' is 0 or above, not {value}")
        for name in ("lr", "clip_norm"):
            if (value := getattr(self, name)) is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"'{name}' is above 0, not {value}")
        for name, most in (("label_smoothing", 1.0), ("validation", 1.0), ("momentum", 1.0)):
            if not 0 <= (value := getattr(self, name)) < most:
                raise UsageError(f"'{name}' goes from 0 to below {most:g}, not {value}")
        if self.patience and not self.validation:
            raise UsageError(
                "'patience' needs a validation part to tell which epoch is better",
                hint="validation = 0.1 holds out a tenth of the training data",
            )

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    def options(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as plain data."""
        return {
            field.name: value for field in dataclasses.fields(Training) if (value := getattr(self, field.name)) != field.default
        }


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"unknown {name} '{value}'", hint=did_you_mean(str(value), known))
