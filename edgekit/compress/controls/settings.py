"""Train-from-scratch controls: what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.checks import Fields
from edgekit.compress.given import options_of


@dataclass(frozen=True)
class Controls:
    """Whether a pruned network owes anything to the weights that it kept.

    Its architecture gets new initial weights and the same settings, data, validation part and teachers (Liu et al. 2019,
    "Rethinking the value of network pruning", arXiv:1810.05270), twice:

    - Scratch-E, equal epochs: as many as all trainings of the pruning step, and of the steps since, took together;
    - Scratch-B, equal compute: so many times the multiply-accumulates of the network before pruning over those after, rounded.

    The pruned network also has what the original's training left in its weights, whose epochs edgekit does not know: ``epochs``
    can count them in.

    Attributes:
        epochs: of Scratch-E; 0: as above.
        lr: highest learning rate of both; None: that of the step's training. Fine-tuning often has a small one, with which a
            network that starts from nothing gets less far.
        seed: of the initial weights; order and augmentation are those of the step's training.
    """

    epochs: int = 0
    lr: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        own = Fields("controls")
        own.whole("epochs", self.epochs, 0, "epochs = 40")
        own.whole("seed", self.seed, 0, "seed = 1")
        own.number("lr", self.lr, "above 0", "lr = 0.1", above=0, optional=True)

    def options(self) -> dict[str, Any]:
        """The fields that were given."""
        return options_of(self)


def controls_of(wish: bool | Controls) -> Controls | None:
    """The field ``controls`` of a step: True is ``Controls()``."""
    return (Controls() if wish else None) if isinstance(wish, bool) else wish


def check_controls(owner: Fields, controls: bool | Controls, epochs: int) -> None:
    """UsageError for what is neither, and for controls where nothing is trained that they could be compared with."""
    if not isinstance(controls, bool | Controls):
        raise owner.refusal("controls", f"'controls' is true or a table, not {controls!r}", "controls = { lr = 0.1 }")
    if controls and not epochs:
        raise owner.refusal(
            "controls",
            "'controls' are trained as long as the pruned network, and this step trains nothing",
            "epochs = 2, or controls = true on the fine_tune step that follows",
        )
