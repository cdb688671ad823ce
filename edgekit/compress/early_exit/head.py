"""What classifies at an exit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgekit.checks import Fields
from edgekit.compress.given import options_of

_OWN = Fields("early_exit: head")


@dataclass(frozen=True)
class Head:
    """The classifier of an exit: average pooling and one linear layer, with other layers before them if wanted.

    Attributes:
        pool: feature maps are averaged over pool x pool windows that cover them (1: over all); sequences over all steps.
        channels: of a 3x3 convolution of stride 2 (of 3 steps, for signals) with ReLU before the pooling; 0: none.
        copy: modules of the network that come later, of which the head begins with copies, one after the other: trained
            weights are a better start than random ones. What the first takes must have the shape of the exit's value.

        stages: of feature maps: each number is a 3x3 convolution of stride 2 to so many channels, with a batch norm: a head
            that is a small network itself, for exits behind the first layers, whose features are far from telling classes
            apart. It wants more epochs than one linear layer.
        blocks: depthwise separable blocks behind every stage, each at a ninth to an eighth of a 3x3 convolution's cost.
        hint: weight of a term by which the head's own features learn to be those that the network's last layer reads (FitNets,
            arXiv:1412.6550), from which the head's linear layer starts; of heads with layers of their own, which end in as
            many features.

    Raises:
        UsageError: a field that can't be.
    """

    pool: int = 1
    channels: int = 0
    copy: tuple[str, ...] = ()
    stages: tuple[int, ...] = ()
    blocks: int = 0
    hint: float = 0.0

    def __post_init__(self) -> None:
        _OWN.whole("pool", self.pool, 1, "pool = 2")
        _OWN.whole("channels", self.channels, 0, "channels = 32")
        hint = 'copy = ["layer3.0"]: modules of the network'
        if isinstance(self.copy, str) or not isinstance(self.copy, Iterable):
            raise _OWN.refusal("copy", f"'copy' is a list of names, not {self.copy!r}", hint)
        object.__setattr__(self, "copy", tuple(self.copy))
        if any(not isinstance(name, str) or not name for name in self.copy):
            raise _OWN.refusal("copy", f"'copy' is a list of names, not {list(self.copy)!r}", hint)
        self._check_stages()
        if self.copy and (self.channels or self.stages):
            field = "channels = 0" if self.channels else "stages = []"
            raise _OWN.refusal("copy", "a head has copies of the network's layers or convolutions of its own", field)
        _OWN.number("hint", self.hint, "0 or above", "hint = 1.0", least=0)
        if self.hint and not self.convolves:
            what = "a head that only pools has no features of its own to learn from a hint"
            raise _OWN.refusal("hint", what, "hint = 0, or stages = [32, 64]")
        if self.channels and self.stages:
            raise _OWN.refusal("stages", "a head has one convolution (channels) or stages of them", "channels = 0")

    def _check_stages(self) -> None:
        hint = "stages = [32, 64]: channels of each"
        if isinstance(self.stages, str) or not isinstance(self.stages, Iterable):
            raise _OWN.refusal("stages", f"'stages' is a list of channels, not {self.stages!r}", hint)
        object.__setattr__(self, "stages", tuple(self.stages))
        for channels in self.stages:
            _OWN.whole("stages", channels, 1, hint)
        _OWN.whole("blocks", self.blocks, 0, "blocks = 2")
        if self.blocks and not self.stages:
            raise _OWN.refusal("blocks", "'blocks' stand behind stages, and the head has none", "stages = [32, 64]")

    @property
    def convolves(self) -> bool:
        """It reads values as they are, not their means."""
        return bool(self.channels or self.copy or self.stages)

    @property
    def standardises(self) -> bool:
        """Its first layer is new and has no batch norm: it learns from standardised values."""
        return not (self.copy or self.stages)

    def options(self) -> dict[str, Any]:
        """The fields that were given."""
        return options_of(self)
