"""Scratch-E and Scratch-B, trained and put beside the pruned network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekit.compress.context import Context
from edgekit.compress.controls.settings import Controls
from edgekit.compress.scoring import score
from edgekit.compress.sparsify.held import held
from edgekit.compress.tuning import Tuned, tune
from edgekit.data import Data
from edgekit.ir import Graph
from edgekit.ir.history import StepRecord
from edgekit.train.distillation.settings import Distillation
from edgekit.train.fresh import untrained
from edgekit.train.randomness import mixed
from edgekit.train.settings import Training
from edgekit.train.trained import Trained


@dataclass(frozen=True)
class Compared:
    """The pruned network and its controls.

    Attributes:
        details: what the record keeps: ``pruned``, ``scratch_e`` and, where it differs, ``scratch_b``, each with
            ``trained_epochs``, ``metrics`` of the user's evaluation data and ``validation`` of the part held out; controls
            with their curves.
        notes: what the comparison says.
    """

    details: dict[str, Any]
    notes: tuple[str, ...]


def compare(
    controls: Controls,
    pruned: Graph,
    last: Trained,
    *,
    epochs: int,
    macs_before: int,
    settings: Training,
    distillation: Distillation | None,
    data: object | None,
    context: Context,
) -> Compared:
    """Trains the pruned architecture from scratch, for equal epochs and for equal compute.

    Args:
        controls: what was asked for.
        pruned: trained, with the history of the steps before (their zeros are the controls' too); is left as it is.
        last: its last training.
        epochs: that it was trained: see :func:`epochs_given`.
        macs_before: multiply-accumulates of one sample before the first removal.
        settings: of the controls' trainings, but for epochs and rate.
        distillation: likewise.
        data: likewise.
        context: of the step; each control keeps its checkpoints in a folder of its own.

    Raises:
        EdgekitError: what a training raises.
    """
    evaluate = data.evaluate if isinstance(data, Data) else None
    equal = controls.epochs or epochs
    more = round(equal * macs_before / max(pruned.macs, 1))
    lr = settings.lr if controls.lr is None else controls.lr
    begin = untrained(pruned, mixed(controls.seed, "from scratch"))
    alive = held(pruned)
    rows = {"pruned": _row(epochs, score(pruned, evaluate, context.root), last)}
    found: list[Tuned] = []
    for name, number in (("scratch_e", equal), ("scratch_b", more)):
        if name == "scratch_b" and number <= equal:
            continue  # pruning saved too little for an epoch more
        if context.say is not None:
            context.say(f"control {name}: {number} epochs from scratch")
        how = replace(settings, epochs=number, lr=lr)
        tuned = tune(begin, data, how, distillation, context.inside(name), alive)
        metrics = score(tuned.trained.graph, evaluate, context.root)
        rows[name] = {**_row(number, metrics, tuned.trained), **tuned.details()}
        found.append(tuned)
    said = tuple(note for tuned in found for note in tuned.notes)
    return Compared(rows, (*said, *_verdict(rows), *(() if more > equal else (_SAME_COMPUTE,))))


_SAME_COMPUTE = "there is no Scratch-B: with what pruning saved, equal compute is no epoch more than equal epochs"


def since_pruning(history: Sequence[StepRecord]) -> Sequence[StepRecord]:
    """The records from the first step that pruned; none where none did."""
    first = next((i for i, record in enumerate(history) if record.step == "prune"), len(history))
    return history[first:]


def epochs_given(details: Mapping[str, Any]) -> int:
    """Epochs of all trainings that a record tells of: its own, before the first round and after each; not of controls."""
    parts = [details, details.get("sparsity"), *details.get("rounds", ())]
    return sum(len(part.get("epochs", ())) for part in parts if isinstance(part, Mapping))


def _row(epochs: int, metrics: dict[str, float], trained: Trained) -> dict[str, Any]:
    validation = trained.epochs[trained.best].validation if trained.epochs else {}
    return {"trained_epochs": epochs, "metrics": metrics, "validation": dict(validation)}


#: What networks are compared by, where all have it: part of the row, metric, and whether larger is better.
_JUDGED_BY = (("metrics", "top1", True), ("validation", "top1", True), ("validation", "loss", False))


def _verdict(rows: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """A sentence for each control that is as good as the pruned network."""
    sentences = []
    for name, label in (("scratch_e", "equal epochs"), ("scratch_b", "equal compute")):
        for part, metric, is_larger_better in _JUDGED_BY:
            mine, other = rows["pruned"][part].get(metric), rows.get(name, {}).get(part, {}).get(metric)
            if mine is None or other is None:
                continue
            if (other >= mine) if is_larger_better else (other <= mine):
                sentences.append(
                    f"the pruned network ({metric} {mine:.4g}) is no better than its architecture trained from scratch with "
                    f"{label} ({other:.4g}, one seed): the weights that it kept win nothing here"
                )
            break
    return tuple(sentences)
