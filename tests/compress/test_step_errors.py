"""Whatever is wrong with a step: the error says what, where and what to try, and none is a programmer's."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import edgekit
from edgekit.compress.controls.settings import Controls
from edgekit.compress.distill.teacher_assistant import TeacherAssistant
from edgekit.compress.steps import STEPS, parse_steps, step_class
from edgekit.errors import ConfigError, EdgekitError, UsageError
from edgekit.train.distillation.settings import Distillation, Hint
from edgekit.train.settings import Training

PACKAGE = Path(edgekit.__file__).parent

#: What each step needs besides the field that is wrong.
GIVEN: dict[str, dict[str, Any]] = {
    "prune": {"macs": 0.5},
    "low_rank": {"error": 0.3},
    "separable": {"error": 0.3},
    "slim": {"width": 0.5},
    "sparsify": {"sparsity": 0.9},
    "lottery_ticket": {"sparsity": 0.9},
    "teacher_assistant": {"assistants": ("net:build",)},
}
#: And what those need whose settings are of a training that there is only if asked.
GIVEN_TO_TRAIN: dict[str, dict[str, Any]] = {
    "prune": {"rounds": 2, "epochs": 1},
    "sparsify": {"epochs": 1},
    "cluster": {"epochs": 1},
    "early_exit": {"at": ("a",), "max_drop": 1.0},
}
PARTS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "training": (Training, {}),
    "distillation": (Distillation, {}),
    "features": (Hint, {"student": "a"}),
    "controls": (Controls, {}),
}
NUMBERS = (float("nan"), float("inf"), -float("inf"), -1, True, "many")


def owners() -> Iterator[tuple[str, type[Any], dict[str, Any]]]:
    for name in STEPS:
        yield name, step_class(name), GIVEN.get(name, {})
    for name, (cls, given) in PARTS.items():
        yield name, cls, given


def kinds(annotation: Any) -> set[Any]:
    """The plain types that an annotation allows."""
    found = typing.get_args(annotation) if typing.get_origin(annotation) is not tuple else (tuple,)
    return set(found) or {annotation}


def wrong_values(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Values that no field of this type may have."""
    for name, annotation in typing.get_type_hints(cls).items():
        field = next((f for f in dataclasses.fields(cls) if f.name == name), None)
        if field is None:
            continue
        found = kinds(annotation)
        if found & {int, float}:
            yield from ((name, value) for value in NUMBERS)
            if type(None) not in found:
                yield name, None
            if int in found and float not in found:
                yield name, 1.5
        elif str in found and isinstance(field.default, str) and name not in ("on", "loss", "augment", "teacher"):
            yield name, "no such word"
        elif tuple in found and name not in ("shared", "features"):
            yield name, "a string"


CASES: dict[tuple[str, str], list[Any]] = {}
for _owner, _cls, _ in owners():
    for _name, _value in wrong_values(_cls):
        CASES.setdefault((_owner, _name), []).append(_value)
CLASSES = {owner: (cls, given) for owner, cls, given in owners()}


@pytest.mark.parametrize(("owner", "name"), CASES, ids=lambda part: part)
def test_a_wrong_value_is_a_users_error_in_three_parts(owner: str, name: str) -> None:
    cls, given = CLASSES[owner]
    others = {} if owner in ("low_rank", "separable", "prune", "slim") and name in _amounts(cls) else given
    for value in CASES[owner, name]:
        with pytest.raises(UsageError) as caught:
            cls(**{**others, name: value})
        assert caught.value.what and caught.value.hint, str(caught.value)
        assert caught.value.where and caught.value.where != "recipe"


def _amounts(cls: type[Any]) -> set[str]:
    return {f.name for f in dataclasses.fields(cls) if f.default is None}


def test_the_walk_meets_every_step() -> None:
    assert {owner for owner, _ in CASES} >= set(STEPS) - {"equalize"}  # which has switches alone
    assert sum(len(values) for values in CASES.values()) > 800


@pytest.mark.parametrize("name", STEPS)
def test_an_unknown_field_in_a_table_names_the_nearest(name: str) -> None:
    table = {"step": name, **GIVEN.get(name, {}), "nonsense": 1}
    with pytest.raises(ConfigError) as caught:
        parse_steps([table], Path("edgekit.toml"))
    assert "nonsense" in caught.value.what and caught.value.where == "edgekit.toml" and caught.value.hint


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"step": "prun", "macs": 0.5}, "prune"),
        ({"step": "prune", "macs": float("nan")}, "macs"),
        ({"step": "prune", "mac": 0.5}, "macs"),
        ({"macs": 0.5}, "prune"),
    ],
)
def test_an_error_in_an_assistants_table_says_which_assistant(table: dict[str, Any], says: str) -> None:
    good = {"step": "prune", "macs": 0.75}
    with pytest.raises(ConfigError) as caught:
        TeacherAssistant(assistants=(good, table))
    assert "teacher_assistant: assistants[2]" in str(caught.value.where) and says in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        parse_steps([{"step": "teacher_assistant", "assistants": [good, table]}], Path("edgekit.toml"))
    where = str(caught.value.where)
    assert where.startswith("edgekit.toml: [[recipe 1]]") and "assistants[2]" in where and caught.value.hint


def test_a_step_that_trains_in_a_table_names_the_file() -> None:
    table = {"step": "fine_tune", "epochs": 2, "lr": -1.0}
    with pytest.raises(ConfigError, match=r"'lr' is above 0, not -1\.0") as caught:
        parse_steps([table], Path("edgekit.toml"))
    assert caught.value.where == "edgekit.toml" and caught.value.hint


def raised(rooms: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    """Every user's error that code of these rooms makes."""
    classes = {cls.__name__ for cls in EdgekitError.__subclasses__()}
    for room in rooms:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_every_error_of_compression_and_training_is_written_in_three_parts() -> None:
    lacking = []
    for place, call in raised(("compress", "train")):
        parts = {keyword.arg for keyword in call.keywords}
        if len(call.args) != 1 or not {"where", "hint"} <= parts:
            lacking.append(place)
    assert [place for place in lacking if "post_training" not in place] == []  # of targets, not of a step


@pytest.mark.parametrize(
    "name", [name for name in STEPS if "training" in {f.name for f in dataclasses.fields(step_class(name))}]
)
def test_in_python_a_dictionary_stands_for_settings_as_a_table_does_in_a_file(name: str) -> None:
    step, given = step_class(name), {**GIVEN.get(name, {}), **GIVEN_TO_TRAIN.get(name, {})}
    made: Any = step(**given, training={"lr": 0.5})
    assert made.training == Training(lr=0.5) and made == step(**given, training=Training(lr=0.5))
    for wrong, says in (({"lrr": 1}, "did you mean 'lr'"), ({"lr": -1}, "lr"), ("adam", "edgekit.Training")):
        with pytest.raises(UsageError) as caught:
            step(**given, training=wrong)
        assert says in str(caught.value) and caught.value.where.startswith((name, "training")) and caught.value.hint


def test_tables_of_teachers_controls_and_heads_are_taken_too() -> None:
    tuned = edgekit.FineTune(distillation={"alpha": 0.25}, controls={"lr": 0.1})  # type: ignore[arg-type]
    assert tuned.distillation == Distillation(alpha=0.25) and tuned.controls == Controls(lr=0.1)
    exits = edgekit.EarlyExit(at=("a",), max_drop=1.0, head={"pool": 2})  # type: ignore[arg-type]
    assert exits.head == edgekit.Head(pool=2)
    with pytest.raises(UsageError, match=r"'distillation' is settings"):
        edgekit.FineTune(distillation="source")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STEPS)
def test_a_module_in_the_place_of_a_graph_is_refused_and_told_how_to_become_one(name: str) -> None:
    step = step_class(name)(**{**GIVEN_TO_TRAIN.get(name, {}), **GIVEN.get(name, {})})
    for apply in (step.apply, edgekit.Recipe([step]).apply):
        with pytest.raises(UsageError, match="steps change a graph, not a 'Linear'") as caught:
            apply(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
        assert "edgekit.load" in str(caught.value.hint)
