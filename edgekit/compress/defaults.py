"""``[training]``: what every training of a recipe has where its step says nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import ConfigError, UsageError
from edgekit.tables import parse
from edgekit.train.settings import Training

#: Steps whose settings are not those of a network's training: scores of masks are learned at other rates than weights.
_OWN = ("supermask",)


def with_defaults(
    tables: Sequence[Mapping[str, object]], training: Mapping[str, object], file: Path
) -> list[Mapping[str, object]]:
    """The tables of a recipe, each with the settings that it leaves open; those without a training as they are.

    Where a step has its own ``epochs`` beside a table ``training``, those of the defaults do not count.

    Args:
        tables: of ``[[recipe]]``, as they were read; what is wrong in them is not looked at.
        training: of ``[training]``.
        file: for errors.

    Raises:
        ConfigError: an unknown key or a value that can't be, or no step that trains.
    """
    if not training:
        return list(tables)
    try:
        parse(Training, training, file=file, at="training")
    except ConfigError:
        raise
    except UsageError as error:
        raise ConfigError(f"{error.what} (in [training])", where=file, hint=error.hint) from None
    filled = [_filled(table, training) for table in tables]
    if all(new is old for new, old in zip(filled, tables, strict=True)):
        raise ConfigError(
            "[training] has no effect: no step of the recipe trains",
            where=file,
            hint='[[recipe]] step = "fine_tune", or epochs = 2 in a prune step',
        )
    return filled


def _filled(table: Mapping[str, object], training: Mapping[str, object]) -> Mapping[str, object]:
    """One table; itself where it has no training."""
    from edgekit.compress.steps import STEPS, step_class

    name = table.get("step")
    if not isinstance(name, str) or name not in STEPS or name in _OWN:
        return table
    cls: Any = step_class(name)
    if issubclass(cls, Training):
        return {**training, **table}
    known = {field.name: field.default for field in dataclasses.fields(cls)}
    own = table.get("training", {})
    if "training" not in known or not table.get("epochs", known.get("epochs")) or not isinstance(own, Mapping):
        return table
    return {**table, "training": {**{key: value for key, value in training.items() if key != "epochs"}, **own}}
