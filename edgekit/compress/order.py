"""Orders of steps that cannot be, told before the first step trains. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgekit.compress.steps import step_name
from edgekit.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.compress.steps import Step

#: Steps that refuse integers: what ``qat`` trained is the end of what may change.
_OF_FLOATS = frozenset(("binarize", "cluster", "early_exit", "equalize", "lottery_ticket", "low_rank", "prune")) | frozenset(
    ("qat", "separable", "slimmable", "sparsify", "supermask")
)


@dataclass(frozen=True)
class Made:
    """What steps have made of a network, as far as later ones ask; None: it is not known yet.

    Attributes:
        sizes: it is slimmable.
        exits: it has early exits.
        integers: it is quantised.
    """

    sizes: bool | None = None
    exits: bool | None = None
    integers: bool | None = None

    def after(self, name: str) -> Made:
        """The same behind a step, by its name."""
        if name in ("slimmable", "slim"):
            return replace(self, sizes=name == "slimmable")
        sizes = bool(self.sizes)
        if name == "early_exit":
            return replace(self, sizes=sizes, exits=True)
        return replace(self, sizes=sizes, integers=True) if name == "qat" else replace(self, sizes=sizes)

    def refusal(self, name: str) -> tuple[str, str] | None:
        """What is wrong with a step at this place, and what to try; None where nothing is known to be."""
        if name == "slim":
            return _NOT_SLIMMABLE if self.sizes is False else None
        if self.sizes:
            return _TWICE_SLIMMABLE if name == "slimmable" else _behind_sizes(name)
        if self.exits and name in ("early_exit", "slimmable"):
            return _TWICE_EXITS if name == "early_exit" else _SIZES_OF_EXITS
        return _of_integers(name) if self.integers and name in _OF_FLOATS else None


_NOT_SLIMMABLE = ("the network is not slimmable: no step 'slimmable' stands before this one", "'slimmable' first, then 'slim'")
_TWICE_SLIMMABLE = ("the network is slimmable already", "one step with all widths, or a step 'slim' before this one")
_TWICE_EXITS = ("the network has early exits already", "one step with several places in 'at'")
_SIZES_OF_EXITS = (
    "the network has early exits, whose thresholds are chosen for it alone and not for its other sizes",
    "first 'slimmable', then 'slim' for one size, then 'early_exit'",
)


def _behind_sizes(name: str) -> tuple[str, str]:
    return (
        f"the step '{name}' behind 'slimmable' would change the whole network alone",
        "put it before 'slimmable'; or go on with one size: a step 'slim' between the two, width = 0.5",
    )


def _of_integers(name: str) -> tuple[str, str]:
    what = "a second step 'qat'" if name == "qat" else f"the step '{name}' behind 'qat', which leaves a quantised network"
    return what, "one step 'qat', behind all that change the network"


def require_order(steps: Sequence[Step], made: Made | None = None, file: Path | None = None) -> None:
    """Refuses steps of which one is known to refuse what those before it leave: hours of training would come first.

    Args:
        steps: in order.
        made: what the network is before the first; nothing is known of it by default.
        file: the configuration that they stand in.

    Raises:
        UsageError: the first such step, by its number; ConfigError where a file has it.
    """
    made = made or Made()
    for number, step in enumerate(steps, 1):
        name = step_name(step)
        if (refusal := made.refusal(name)) is not None:
            what, hint = refusal
            if file is not None:
                raise ConfigError(f"{what} ([[recipe {number}]], {name})", where=file, hint=hint)
            raise UsageError(what, where=f"step {number} of the recipe ({name})", hint=hint)
        made = made.after(name)
