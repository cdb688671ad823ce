"""The steps by the names that they have in ``edgekit.toml``: ``[[recipe]] step = "prune"``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from edgekit.compress.defaults import with_defaults
from edgekit.errors import ConfigError, UsageError
from edgekit.tables import did_you_mean, parse

if TYPE_CHECKING:
    from edgekit.compress.context import Context
    from edgekit.ir import Graph

#: Name -> the module and class of the step: a frozen dataclass whose fields are the keys of its table.
STEPS: dict[str, tuple[str, str]] = {
    "binarize": ("edgekit.compress.binarize.step", "Binarize"),
    "born_again": ("edgekit.compress.distill.born_again", "BornAgain"),
    "early_exit": ("edgekit.compress.early_exit.step", "EarlyExit"),
    "equalize": ("edgekit.compress.equalize.step", "Equalize"),
    "cluster": ("edgekit.compress.cluster.step", "Cluster"),
    "fine_tune": ("edgekit.compress.fine_tune", "FineTune"),
    "lottery_ticket": ("edgekit.compress.lottery.step", "LotteryTicket"),
    "low_rank": ("edgekit.compress.low_rank.step", "LowRank"),
    "mutual_learning": ("edgekit.compress.distill.mutual_learning", "MutualLearning"),
    "prune": ("edgekit.compress.prune", "Prune"),
    "qat": ("edgekit.compress.qat.step", "QAT"),
    "separable": ("edgekit.compress.separable.step", "Separable"),
    "slim": ("edgekit.compress.slimmable.slim", "Slim"),
    "slimmable": ("edgekit.compress.slimmable.step", "Slimmable"),
    "sparsify": ("edgekit.compress.sparsify.step", "Sparsify"),
    "supermask": ("edgekit.compress.lottery.supermask", "Supermask"),
    "teacher_assistant": ("edgekit.compress.distill.teacher_assistant", "TeacherAssistant"),
}


@runtime_checkable
class Step(Protocol):
    """A compression step: a frozen dataclass of plain data.

    ``apply`` may take a ``context`` (``edgekit.compress.context.Context``) beside graph and data; a recipe then gives it one.
    """

    def apply(self, graph: Graph, data: object | None = None) -> Graph:
        """A changed copy of the graph whose history has exactly one record more."""

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""


def step_class(name: str) -> type[Step]:
    """The class of a step; UsageError that names the nearest for a name that is none."""
    if name not in STEPS:
        raise UsageError(f"unknown step '{name}'", where="recipe", hint=did_you_mean(name, STEPS))
    module, attribute = STEPS[name]
    return cast("type[Step]", getattr(importlib.import_module(module), attribute))


def step_name(step: Step) -> str:
    """The name of a step's class; a class of the user's own is called as it is called."""
    cls = type(step)
    return next((name for name, (_, attribute) in STEPS.items() if attribute == cls.__name__), cls.__name__)


def parse_steps(
    tables: Sequence[Mapping[str, object]], file: Path | None, training: Mapping[str, object] | None = None
) -> tuple[Step, ...]:
    """The steps of ``[[recipe]]`` tables, checked; nothing heavy is imported.

    Args:
        tables: as they were read.
        file: for errors.
        training: the table ``[training]``: what every training of these steps has where the step says nothing else.

    Raises:
        ConfigError: no or an unknown step, an unknown key, or a value that can't be; the table is named by its number.
    """
    where = file or Path("recipe")
    defaults = with_defaults(tables, training or {}, where)
    return tuple(_parsed(table, f"recipe {number}", where) for number, table in enumerate(defaults, 1))


def steps_and_tables(recipe: object) -> tuple[tuple[Step, ...] | None, tuple[Mapping[str, object], ...]]:
    """A recipe given in Python, as steps and as the tables that say the same.

    Args:
        recipe: a ``Recipe``, steps in order, or tables as ``[[recipe]]`` has them.

    Returns:
        The steps, None for tables, which are still to be parsed; and the tables.

    Raises:
        UsageError: something that is neither.
    """
    found: Any = getattr(recipe, "steps", recipe)
    given = tuple(found or ())
    if all(isinstance(item, Mapping) for item in given):
        return None, given
    for number, item in enumerate(given, 1):
        if isinstance(item, type) or not isinstance(item, Step):
            raise UsageError(
                f"step {number} of the recipe is no step, but {item!r}",
                where="recipe",
                hint="for example recipe=edgekit.Recipe([Prune(macs=0.5), FineTune(epochs=10)])",
            )
    return given, tuple({"step": step_name(step), **step.options()} for step in given)


def apply_step(step: Step, graph: Graph, data: object | None, context: Context) -> Graph:
    """The step on a graph, with what surrounds it where it takes that; it must leave exactly one record."""
    from edgekit.ir.history import StepRecord

    extra: dict[str, Any] = {"context": context} if "context" in inspect.signature(step.apply).parameters else {}
    changed = step.apply(graph, data, **extra)
    if len(changed.history) != len(graph.history) + 1 or not isinstance(changed.history[-1], StepRecord):
        raise TypeError(f"the step {step_name(step)} left {len(changed.history) - len(graph.history)} records, not one")
    return changed


def parse_step(table: Mapping[str, object], place: str) -> Step:
    """A step inside another one's field, as a table.

    Args:
        table: as it was read.
        place: of the table, for errors: ``teacher_assistant: assistants[1]``.

    Raises:
        ConfigError: as ``parse_steps``; the place is in it.
    """
    return _parsed(table, place, Path(place))


def _parsed(table: Mapping[str, object], at: str, file: Path) -> Step:
    name = table.get("step")
    if not isinstance(name, str):
        raise ConfigError(f"[[{at}]] has no step", where=file, hint='step = "prune"; known: ' + ", ".join(sorted(STEPS)))
    if name not in STEPS:
        raise ConfigError(f"unknown step '{name}' in [[{at}]]", where=file, hint=did_you_mean(name, STEPS))
    fields = {key: value for key, value in table.items() if key != "step"}
    try:
        return parse(step_class(name), fields, file=file, at=f"{at}: {name}")
    except ConfigError as error:
        if error.where != str(file):  # of a step inside this one
            error.where = f"{file}: [[{at}]], {error.where}"
        raise
    except UsageError as error:
        raise ConfigError(f"{error.what} (in [[{at}]], {name})", where=file, hint=error.hint) from None
