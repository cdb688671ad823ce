"""Makes a network that disagrees as small as it can be while it still does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from benchmarks.fuzz.program import Network, Program

#: Networks that are tried at most.
_MOST_TRIALS = 150


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """The smallest network found that still fails."""
    trials = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(program):
            trials += 1
            if trials > _MOST_TRIALS:
                return program
            if _runs(candidate) and fails(candidate):
                program, smaller = candidate, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """Fewer outputs; an end that is a value of the middle; a step left out; smaller inputs."""
    if len(program.outputs) > 1:
        for output in program.outputs:
            yield program.with_only([output])
    for step in reversed(program.steps):
        for name in step.reads:
            if name not in program.inputs:
                yield program.with_only([name])
    for step in program.steps:
        for name in step.reads:
            yield _without(program, step.key, name)
    for name, given in program.inputs.items():
        for axis, size in enumerate(given.shape):
            for less in dict.fromkeys((size // 2, size - 1)):
                if less >= 1:
                    shape = (*given.shape[:axis], less, *given.shape[axis + 1 :])
                    yield replace(program, inputs={**program.inputs, name: replace(given, shape=shape)})


def _without(program: Program, key: int, instead: str) -> Program:
    """One of a step's inputs in place of its first result."""
    gone = f"s{key}"
    steps = tuple(
        replace(step, reads=tuple(instead if name == gone else name for name in step.reads))
        for step in program.steps
        if step.key != key
    )
    outputs = tuple(dict.fromkeys(instead if name == gone else name for name in program.outputs))
    outputs = tuple(name for name in outputs if name not in program.inputs) or outputs
    return replace(program, steps=steps, outputs=outputs).with_only(outputs)


def _runs(program: Program) -> bool:
    """PyTorch takes it, and it does something."""
    if not program.steps:
        return False
    try:
        network = Network(program)
        network(*program.draw())
    except Exception:  # whatever torch says to shapes that nobody drew
        return False
    return True
