"""How far a training is: a bar where standard error is a terminal, a line an epoch for who listens, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.train.trained import Epoch


class Progress:
    """Told of every step and epoch."""

    def __init__(self, bar: Any | None, task: Any, say: Callable[[str], None] | None, epochs: int) -> None:
        self._bar, self._task, self._say, self._epochs = bar, task, say, epochs

    def step(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is done."""
        line = f"epoch {epoch.number + 1}/{self._epochs}: {describe(epoch)}"
        if self._bar is not None:
            self._bar.update(self._task, description=line)
        elif self._say is not None:
            self._say(line)


def describe(epoch: Epoch) -> str:
    """``loss 0.412, validation top-1 91.2 %``"""
    parts = [f"loss {epoch.loss:.4g}"]
    if "top1" in epoch.validation:
        parts.append(f"validation top-1 {epoch.validation['top1']:.1%}")
    elif "loss" in epoch.validation:
        parts.append(f"validation loss {epoch.validation['loss']:.4g}")
    elif "top1" in epoch.training:
        parts.append(f"training top-1 {epoch.training['top1']:.1%}")
    return ", ".join(parts)


@contextmanager
def progress(steps: int, done: int, epochs: int, say: Callable[[str], None] | None, main: bool = True) -> Iterator[Progress]:
    """A progress bar for ``steps`` of which ``done`` are done already.

    Args:
        steps: of all epochs together.
        done: by an earlier run.
        epochs: for the text.
        say: takes a line an epoch where there is no terminal.
        main: False in all processes but the first, which stay silent.
    """
    if not main or not sys.stderr.isatty():
        yield Progress(None, None, say if main else None, epochs)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    sys.stderr.write("\r\x1b[2K")  # whatever was said on this line before
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=steps, completed=done)
        yield Progress(bar, task, None, epochs)
