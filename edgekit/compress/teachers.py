"""The networks that a distillation names, loaded."""

from __future__ import annotations

import torch

from edgekit.compress.context import Context
from edgekit.errors import UsageError
from edgekit.ir import Graph
from edgekit.train.distillation.settings import SOURCE, Distillation


def load_teachers(distillation: Distillation, student: Graph, context: Context) -> list[Graph]:
    """One graph for each of ``distillation.teachers``.

    Args:
        distillation: names them.
        student: whose inputs are a teacher's example inputs.
        context: has the source and the folder that callables are imported from.

    Raises:
        UsageError: "source" is wanted where it is not known.
        InputError, Unsupported: a teacher can't be loaded.
    """
    found = []
    for name in distillation.teachers:
        if name != SOURCE:
            found.append(load_named(name, student, context))
        elif context.source is not None:
            found.append(context.source)
        else:
            raise UsageError(
                'the teacher "source" is the network before compression, which is not known here',
                where="distillation",
                hint="run the step in a Recipe, or give context=Context(source=graph)",
            )
    return found


def load_named(name: str, student: Graph, context: Context) -> Graph:
    """A network by its path or ``package.module:callable``, with "@" and a checkpoint behind if there is one to load.

    Args:
        name: as in ``Distillation.teachers``.
        student: whose inputs are its example inputs.
        context: has the folder that paths and callables are looked for in.

    Raises:
        InputError, Unsupported: it can't be loaded.
    """
    from edgekit.frontend.source import load

    model, _, weights = name.partition("@")
    is_graph = model.endswith((".ekg", ".pt2"))
    examples = None if is_graph else tuple(torch.zeros(v.type.at(1), dtype=v.type.dtype) for v in student.inputs)
    path = str(context.root / model) if is_graph and context.root is not None else model
    return load(path, examples, weights=_inside(weights, context), root=context.root)


def _inside(weights: str, context: Context) -> str | None:
    """A path of weights from the folder of callables."""
    if not weights:
        return None
    return weights if context.root is None else str(context.root / weights)
