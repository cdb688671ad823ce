"""A recipe in an impossible order is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgekit as ek
from edgekit.compress.fine_tune import FineTune
from edgekit.compress.order import Made, require_order
from edgekit.compress.steps import Step, parse_steps
from edgekit.config import BuildRequest
from edgekit.errors import ConfigError, EdgekitError, UsageError
from edgekit.ir import Graph
from edgekit.train import Training
from tests.train.networks import blobs, digits

SIZES = ek.Slimmable(widths=(0.5, 1.0), epochs=1, training=Training(batch_size=16))
EXITS = ek.EarlyExit(at=(0.4,), max_drop=50.0, epochs=1, training=Training(batch_size=16, validation=0.3))
SLIM, TUNE, QAT = ek.Slim(width=0.5), FineTune(epochs=1), ek.QAT(epochs=1)


@pytest.mark.parametrize(
    ("steps", "number", "says", "hint"),
    [
        ((SIZES, TUNE), 2, "the step 'fine_tune' behind 'slimmable'", "a step 'slim' between the two"),
        ((SIZES, EXITS), 2, "the step 'early_exit' behind 'slimmable'", "width = 0.5"),
        ((SIZES, SIZES), 2, "slimmable already", "one step with all widths"),
        ((TUNE, SLIM), 2, "not slimmable", "'slimmable' first"),
        ((SIZES, SLIM, SLIM), 3, "not slimmable", "'slimmable' first"),
        ((EXITS, TUNE, EXITS), 3, "early exits already", "several places"),
        ((EXITS, SIZES), 2, "thresholds are chosen for it alone", "then 'early_exit'"),
        ((TUNE, QAT, TUNE, ek.Prune(ratio=0.5)), 4, "'prune' behind 'qat'", "behind all that change"),
        ((QAT, QAT), 2, "a second step 'qat'", "one step 'qat'"),
    ],
)
def test_a_step_that_will_be_refused_is_named_when_the_recipe_is_made(
    steps: tuple[Step, ...], number: int, says: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        ek.Recipe(steps)
    assert caught.value.where.startswith(f"step {number} of the recipe") and hint in caught.value.hint


def test_orders_that_work_are_let_through() -> None:
    for steps in (
        (ek.Prune(ratio=0.5), SIZES),
        (SIZES, SLIM, TUNE, EXITS, QAT),
        (SIZES, SLIM, SIZES),
        (EXITS, ek.Prune(ratio=0.5), TUNE),
        (QAT, TUNE),
        (SLIM, TUNE),  # of a network that may be slimmable
    ):
        ek.Recipe(steps)


def test_what_the_network_is_already_counts_before_the_first_step() -> None:
    for made, step, says in (
        (Made(sizes=True), TUNE, "behind 'slimmable'"),
        (Made(sizes=False), SLIM, "not slimmable"),
        (Made(exits=True), EXITS, "early exits already"),
        (Made(integers=True), SIZES, "behind 'qat'"),
    ):
        with pytest.raises(UsageError, match=says):
            require_order((step,), made)


def test_a_recipe_trains_nothing_of_what_the_graph_refuses_later() -> None:
    said: list[str] = []
    with pytest.raises(UsageError, match="not slimmable"):
        ek.Recipe([SLIM, TUNE]).apply(digits(), blobs(), say=said.append)
    assert said == []


def test_a_build_is_refused_before_its_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="behind 'slimmable'"):
        ek.build("nowhere:model", recipe=[SIZES, TUNE], train=blobs(), output=tmp_path)


def test_an_order_in_a_file_is_named_by_its_table(tmp_path: Path) -> None:
    from edgekit.stages.ahead import require_use

    tables = [{"step": "slimmable"}, {"step": "fine_tune"}]
    steps = parse_steps(tables, tmp_path / "edgekit.toml")
    request = BuildRequest("net:build", tmp_path, (), tmp_path / "out", config_file=tmp_path / "edgekit.toml")
    with pytest.raises(ConfigError, match=r"\[\[recipe 2\]\], fine_tune") as caught:
        require_use(steps, (), request)
    assert caught.value.where.endswith("edgekit.toml") and caught.value.hint


REFUSED_BY_STEPS = [(EXITS, EXITS), (EXITS, SIZES), (SIZES, SIZES), (QAT, EXITS), (QAT, ek.Prune(ratio=0.5)), (QAT, QAT)]


@pytest.mark.slow
@pytest.mark.parametrize("steps", REFUSED_BY_STEPS, ids=lambda steps: "-".join(type(s).__name__ for s in steps))
def test_the_steps_themselves_refuse_these_orders(steps: tuple[Step, Step]) -> None:
    data = ek.Data(train=blobs(), calibration=blobs(32)[0])
    graph: Graph = steps[0].apply(digits(), data)
    with pytest.raises(EdgekitError):
        steps[1].apply(graph, data)
