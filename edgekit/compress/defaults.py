"""``[training]``: what every training of a recipe has where its step says nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import ConfigError, UsageError
from edgekit.tables import parse
from edgekit.train.settings import Training

#: How far and by what weights move. Steps that train something else (scores, centroids, steps of quantisation) have settings of
#: their own there, which the defaults of networks' trainings would spoil.
_MOTION = ("optimizer", "lr", "momentum", "nesterov", "weight_decay", "schedule", "warmup", "clip_norm")


def with_defaults(
    tables: Sequence[Mapping[str, object]], training: Mapping[str, object], file: Path
) -> list[Mapping[str, object]]:
    """The tables of a recipe, each with the settings that it leaves open; those without a training as they are.

    Where a step has its own ``epochs`` beside a table ``training``, those of the defaults do not count. Steps that train
    something else than a network's weights keep their own optimizer, rate and what belongs to them.

    Args:
        tables: of ``[[recipe]]``, as they were read; what is wrong in them is not looked at.
        training: of ``[training]``.
        file: for errors.

    Raises:
        ConfigError: an unknown key or a value that can't be, or no step that reads any of it.
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
            "[training] has no effect: no step of the recipe reads it",
            where=file,
            hint='[[recipe]] step = "fine_tune", or epochs = 2 in a prune step',
        )
    return filled


def _filled(table: Mapping[str, object], training: Mapping[str, object]) -> Mapping[str, object]:
    """One table; itself where it has no training."""
    from edgekit.compress.steps import STEPS, step_class

    name = table.get("step")
    if not isinstance(name, str) or name not in STEPS:
        return table
    cls: Any = step_class(name)
    if issubclass(cls, Training):
        return {**training, **table}
    known = {field.name: field.default for field in dataclasses.fields(cls)}
    own = table.get("training", {})
    if "training" not in known or not table.get("epochs", known.get("epochs")) or not isinstance(own, Mapping):
        return table
    special = _own(name, table)
    left_out = ("epochs",) if special is None else ("epochs", *_MOTION)
    taken = {key: value for key, value in training.items() if key not in left_out}
    first = {} if special is None else special.options()
    return {**table, "training": {**first, **taken, **own}} if taken or special is None else table


def _own(name: str, table: Mapping[str, object]) -> Training | None:
    """The settings of a step that trains something else than weights; None for others. Imports nothing heavy."""
    if name == "supermask":
        from edgekit.compress.lottery.supermask import SCORES

        return SCORES.get(str(table.get("method", "bernoulli")))
    if name == "cluster":
        from edgekit.compress.cluster.step import Cluster

        return dataclasses.replace(Cluster().settings(), epochs=Training.epochs)
    if name == "qat":
        from edgekit.compress.qat.step import TRAINING as OF_QAT

        return OF_QAT
    if name == "early_exit" and table.get("freeze", True):
        from edgekit.compress.early_exit.step import TRAINING as OF_HEADS

        return OF_HEADS
    if name == "binarize":
        from edgekit.compress.binarize.step import TRAINING as OF_BITS

        return OF_BITS
    return None
