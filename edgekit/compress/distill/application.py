"""What the steps that take several trainings do, each from top to bottom."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgekit.compress.context import Context
from edgekit.compress.distill.ensemble_graph import ensemble_graph
from edgekit.compress.recording import recorded
from edgekit.compress.steps import Step, apply_step
from edgekit.compress.teachers import load_named
from edgekit.compress.tuning import Tuned, tune
from edgekit.errors import EdgekitError, UsageError
from edgekit.ir import Graph
from edgekit.train.distillation.peers import MutualObjective
from edgekit.train.fresh import untrained
from edgekit.train.loop import train
from edgekit.train.randomness import mixed
from edgekit.train.samples import open_samples

if TYPE_CHECKING:
    from edgekit.compress.distill.born_again import BornAgain
    from edgekit.compress.distill.mutual_learning import MutualLearning
    from edgekit.compress.distill.teacher_assistant import TeacherAssistant


def mutual_learning(step: MutualLearning, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``MutualLearning.apply``."""
    started = time.perf_counter()
    peers = [load_named(name, graph, context) for name in step.peers]
    peers += [untrained(graph, mixed(step.seed, "peer", number)) for number in range(step.copies)]
    steps = open_samples(data, graph, step, context.root)[0].steps(1)
    objective = MutualObjective(graph, peers, step, steps, weight=step.weight, root=context.root)
    trained = train(graph, data, step, objective, folder=context.folder, say=context.say, root=context.root)
    details = {**trained.details(), "peers": [peer.parameters for peer in peers]}
    return recorded("mutual_learning", step, graph, trained.graph, started, details=details)


def born_again(step: BornAgain, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``BornAgain.apply``."""
    started = time.perf_counter()
    found: list[Tuned] = []
    for number in range(1, step.generations + 1):
        if context.say is not None:
            context.say(f"generation {number} of {step.generations}")
        teacher = found[-1].trained.graph if found else graph
        here = replace(context, source=teacher).inside(f"generation-{number}")
        found.append(tune(untrained(graph, mixed(step.seed, "generation", number)), data, step, step.distillation, here))
    generations = [tuned.trained.graph for tuned in found]
    result = ensemble_graph(generations) if step.ensemble else generations[-1]
    details = {"generations": [tuned.details() for tuned in found]}
    warnings = tuple(f"generation {n}: {w}" for n, tuned in enumerate(found, 1) for w in tuned.warnings)
    notes = tuple(note for tuned in found for note in tuned.notes)
    return recorded("born_again", step, graph, result, started, details=details, warnings=warnings, notes=notes)


def teacher_assistant(step: TeacherAssistant, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``TeacherAssistant.apply``."""
    started = time.perf_counter()
    if context.source is None:
        raise UsageError(
            "the first teacher is the network before compression, which is not known here",
            where="teacher_assistant",
            hint="run the step in a Recipe, or give context=Context(source=graph)",
        )
    teacher, found = context.source, []
    for number, assistant in enumerate(step.assistants, 1):
        if context.say is not None:
            context.say(f"assistant {number} of {len(step.assistants)}")
        here = replace(context, source=teacher).inside(f"assistant-{number}")
        try:
            start = _assistant(assistant, graph, data, replace(here, source=context.source))
        except EdgekitError as error:
            error.where = f"assistant {number}" + (f": {error.where}" if error.where else "")
            raise
        found.append(tune(start, data, step, step.distillation, here))
        teacher = found[-1].trained.graph
    tuned = tune(graph, data, step, step.distillation, replace(context, source=teacher).inside("student"))
    assistants = [{"parameters": each.trained.graph.parameters, **each.details()} for each in found]
    warnings = tuple(f"assistant {n}: {w}" for n, each in enumerate(found, 1) for w in each.warnings)
    details = {**tuned.details(), "assistants": assistants}
    notes = tuple(note for each in (*found, tuned) for note in each.notes)
    said, result = (*warnings, *tuned.warnings), tuned.trained.graph
    return recorded("teacher_assistant", step, graph, result, started, details=details, warnings=said, notes=notes)


def _assistant(assistant: object, graph: Graph, data: object | None, context: Context) -> Graph:
    """The network in between: what a step makes of the source, or one that is loaded."""
    if not isinstance(assistant, Step):
        return load_named(str(assistant), graph, context)
    assert context.source is not None
    return apply_step(assistant, context.source, data, context.inside("made"))
