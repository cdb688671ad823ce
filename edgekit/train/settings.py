"""How a graph is trained: plain data, checked when it is written down."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edgekit.checks import Fields
from edgekit.config import is_reference

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
        own = Fields("training")
        own.word("optimizer", self.optimizer, OPTIMIZERS)
        own.word("schedule", self.schedule, SCHEDULES)
        own.word("precision", self.precision, PRECISIONS)
        if not is_reference(self.loss):
            own.word("loss", self.loss, LOSSES)
        if not is_reference(self.augment):
            own.word("augment", self.augment, AUGMENTATIONS)
        for name, first in (("epochs", 0), ("batch_size", 1), ("seed", 0), ("patience", 0)):
            own.whole(name, getattr(self, name), first, f"{name} = {getattr(Training, name)}")
        for name in ("weight_decay", "warmup", "sparsity"):
            own.number(name, getattr(self, name), "0 or above", f"{name} = {getattr(Training, name)}", least=0)
        own.number("lr", self.lr, "above 0", f"lr = {LEARNING_RATES[self.optimizer]}", above=0, optional=True)
        own.number("clip_norm", self.clip_norm, "above 0", "clip_norm = 1.0", above=0, optional=True)
        for name in ("label_smoothing", "validation", "momentum"):
            means, hint = "a share from 0 to below 1", f"{name} = {getattr(Training, name)}"
            own.number(name, getattr(self, name), means, hint, least=0, below=1)
        if self.patience and not self.validation:
            raise own.refusal(
                "patience",
                "'patience' needs a validation part to tell which epoch is better",
                "validation = 0.1 holds out a tenth of the training data",
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
