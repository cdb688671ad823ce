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
    """The classifier of an exit: average pooling and one linear layer, with convolutions before them if wanted.

    Attributes:
        pool: feature maps are averaged over pool x pool windows that cover them (1: over all); sequences over all steps.
        channels: of a 3x3 convolution of stride 2 (of 3 steps, for signals) with ReLU before the pooling; 0: none.
        copy: modules of the network that come later, of which the head begins with copies, one after the other: trained
            weights are a better start than random ones. What the first takes must have the shape of the exit's value.

    Raises:
        UsageError: a field that can't be.
    """

    pool: int = 1
    channels: int = 0
    copy: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _OWN.whole("pool", self.pool, 1, "pool = 2")
        _OWN.whole("channels", self.channels, 0, "channels = 32")
        hint = 'copy = ["layer3.0"]: modules of the network'
        if isinstance(self.copy, str) or not isinstance(self.copy, Iterable):
            raise _OWN.refusal("copy", f"'copy' is a list of names, not {self.copy!r}", hint)
        object.__setattr__(self, "copy", tuple(self.copy))
        if any(not isinstance(name, str) or not name for name in self.copy):
            raise _OWN.refusal("copy", f"'copy' is a list of names, not {list(self.copy)!r}", hint)
        if self.copy and self.channels:
            raise _OWN.refusal("copy", "a head has copies of the network's layers or a convolution of its own", "channels = 0")

    @property
    def convolves(self) -> bool:
        """It reads values as they are, not their means."""
        return bool(self.channels or self.copy)

    def options(self) -> dict[str, Any]:
        """The fields that were given."""
        return options_of(self)
