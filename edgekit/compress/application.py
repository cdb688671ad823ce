"""A recipe at work: each step applied, measured and kept."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgekit import __version__
from edgekit.compress.context import Context
from edgekit.compress.gauging.candidate import FileMaker
from edgekit.compress.order import Made, require_order
from edgekit.compress.scoring import score
from edgekit.compress.slimmable.extraction import record_of
from edgekit.compress.steps import Step, apply_step, step_name
from edgekit.data import Data, repeatable
from edgekit.errors import EdgekitError
from edgekit.ir import Graph, ops
from edgekit.ir.file import load as load_graph
from edgekit.ir.history import StepRecord
from edgekit.train.identity import data_digest, graph_digest

#: A finished step in its folder.
_DONE = "graph.ekg"


def apply_steps(
    steps: Sequence[Step],
    graph: Graph,
    data: object | None,
    *,
    folder: Path | None = None,
    root: Path | None = None,
    say: Callable[[str], None] | None = None,
    tidy: bool = False,
    file: FileMaker | None = None,
) -> Graph:
    """See ``Recipe.apply``.

    With ``tidy``, what earlier recipes left in the folder is removed at the end. ``file`` writes what budgets are measured on;
    by default, a plain TFLite file.
    """
    require_order(steps, _made(graph))
    given = None if data is None else repeatable(data if isinstance(data, Data) else Data(train=data))
    key = _first_key(graph, given, root) if folder is not None else ""
    current, metrics, used = graph, None, []
    for number, step in enumerate(steps, 1):
        name = step_name(step)
        made = file.identity if file is not None and getattr(step, "is_measured", False) else ""
        key = _next_key(key + made, name, step.options(), root)
        place = None if folder is None else folder / f"{number:02d}-{name}-{key[:16]}"
        used.append(place)
        if place is not None and (place / _DONE).is_file():
            current = load_graph(place / _DONE)
            _forget_work(place)
            metrics = {n: after for n, (_, after) in current.history[-1].metrics.items()} or None
            continue
        if say is not None:
            say(f"step {number} of {len(steps)}: {name}")
        if metrics is None:
            metrics = score(current, given.evaluate if given is not None else None, root)
        context = Context(graph, place, root, say, file)
        try:
            changed = apply_step(step, current, given, context).copy()  # as it would come out of its file: names are free again
        except EdgekitError as error:
            error.where = f"step {number} of the recipe ({name})" + (f": {error.where}" if error.where else "")
            raise
        after = score(changed, given.evaluate if given is not None else None, root)
        changed.history = (*changed.history[:-1], _with_metrics(changed.history[-1], metrics, after))
        current, metrics = changed, after
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            current.save(place / _DONE)
            _forget_work(place)
    if tidy and folder is not None and folder.is_dir():
        for other in folder.iterdir():
            if other.is_dir() and other not in used:
                shutil.rmtree(other, ignore_errors=True)
    return current


def _with_metrics(record: StepRecord, before: dict[str, float], after: dict[str, float]) -> StepRecord:
    """The record with the user's metrics, where they were measured."""
    return replace(record, metrics={name: (before.get(name), value) for name, value in after.items()}) if after else record


def _made(graph: Graph) -> Made:
    """What steps ask of a network before the first of them."""
    return Made(
        sizes=record_of(graph) is not None,
        exits=any(isinstance(node.op, ops.ChooseExit) for node in graph.nodes),
        integers=any(value.quant is not None for value in graph.values()),
    )


def _first_key(graph: Graph, data: Data | None, root: Path | None) -> str:
    """What every step depends on."""
    sources = [] if data is None else [data.train, data.calibration, data.evaluate]
    parts = [graph_digest(graph), *(data_digest(source, root) for source in sources)]
    parts += [__version__, torch.__version__, str(torch.get_num_threads()), torch.get_default_device().type]
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


def _next_key(key: str, name: str, options: Mapping[str, Any], root: Path | None) -> str:
    """What is known up to a step, with the step: its options, and the content of the files and code that they name."""
    text = json.dumps(options, sort_keys=True, default=str)
    named = [data_digest(part, root) for string in _strings(options) for part in string.split("@")]
    return hashlib.sha256(":".join([key, name, text, *named]).encode()).hexdigest()


def _strings(options: object) -> Iterator[str]:
    if isinstance(options, str):
        yield options
    elif isinstance(options, Mapping):
        for _, value in sorted(options.items()):
            yield from _strings(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _strings(value)


def _forget_work(place: Path) -> None:
    """Removes the checkpoints of a step that is finished."""
    for path in place.iterdir():
        if path.name != _DONE:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
