"""The curves of all trainings stand one behind the other, and nothing is drawn that was not measured."""

from __future__ import annotations

import re
from typing import Any

from edgekit.report.curves import curve_plots, stretches
from edgekit.report.step_sections import options_text


def epoch(number: int, loss: float, top1: float | None = None) -> dict[str, Any]:
    scores = {} if top1 is None else {"top1": top1}
    return {"number": number, "terms": {"task": loss, "soft": 0.5}, "training": scores, "validation": {}, "lr": 0.1}


def record(step: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"step": step, "options": {}, "details": details}


def test_a_step_without_training_has_no_plot() -> None:
    assert curve_plots([record("prune", {"parity_error": 0.0})]) == []


def test_trainings_inside_rounds_are_found_in_order() -> None:
    rounds = [{"macs": 3, "epochs": [epoch(0, 1.0)]}, {"macs": 2, "epochs": [epoch(0, 0.5), epoch(1, 0.4)]}]
    history = [
        record("prune", {"sparsity": {"epochs": [epoch(0, 2.0)]}, "rounds": rounds}),
        record("fine_tune", {"epochs": []}),
    ]
    assert [(part.name, len(part.epochs)) for part in stretches(history)] == [
        ("1 prune (1)", 1), ("1 prune (2)", 1), ("1 prune (3)", 2),
    ]  # fmt: skip
    (losses,) = curve_plots(history)  # no labels, no accuracy
    assert losses.count("<circle") == 4
    path = re.search(r'<path class="line" d="([^"]+)"', losses)
    assert path is not None
    assert re.sub(r"[\d. ]", "", path[1]) == "MMML"  # one curve a training
    assert "training loss, epoch 1: 2.5" in losses


def test_every_point_lies_inside_the_plot_and_larger_values_lie_higher() -> None:
    values = [3.0, 1.0, 0.25, 0.125]
    _, accuracy = curve_plots([record("fine_tune", {"epochs": [epoch(i, v, 1 - v / 4) for i, v in enumerate(values)]})])
    heights = [float(y) for y in re.findall(r'<circle class="c1" cx="[\d.]+" cy="([\d.]+)"', accuracy)]
    assert heights == sorted(heights, reverse=True)
    assert 20 < min(heights) < max(heights) < 220


def test_a_constant_curve_is_drawn() -> None:
    (plot,) = curve_plots([record("fine_tune", {"epochs": [epoch(0, 0.0), epoch(1, 0.0)]})])
    assert plot.count("<circle") == 2


def test_options_of_options_are_in_brackets() -> None:
    options = {"macs": 0.5, "training": {"lr": 0.01, "augment": "flip_crop"}, "distillation": {}, "keep": ["a", "b"]}
    text = options_text({"options": options})
    assert text == "macs 0.5, training (lr 0.01, augment flip_crop), distillation, keep a, b"
