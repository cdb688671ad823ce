"""The page shows every size of a slimmable network, and the curve of the metric against cost."""

from __future__ import annotations

from typing import Any

from edgekit.report.slimmable_section import slimmable_section


def record(metrics: dict[str, float]) -> dict[str, Any]:
    rows = []
    for number, width in enumerate((1.0, 0.5)):
        cost = {"macs": 1000 if width == 1 else 260, "parameters": 100, "weight_bytes": 400}
        held = {"top1": 0.5, "loss": 1.0}
        own = {name: value - 0.1 * number for name, value in metrics.items()}
        rows.append({"name": f"{width:g}", "width": width, "depth": 1.0, **cost, "held_out": held, "metrics": own})
    return {"step": "slimmable", "details": {"sizes": rows}}


def test_sizes_are_a_table_and_a_curve() -> None:
    page = slimmable_section([{"step": "prune"}, record({"top1": 0.75, "macro_f1": 0.7})])
    assert "26.0 %" in page and "0.75" in page and "polyline" in page and "top1 against cost" in page
    assert page.count("<circle") == 2


def test_exits_that_one_size_got_since_are_drawn_beside_the_sizes_at_the_whole_networks_cost() -> None:
    points = [{"mean_cost": 0.5, "top1": 0.6}, {"mean_cost": 1.0, "top1": 0.64}]
    exits = {"step": "early_exit", "macs": [260, 300], "details": {"curve": points}}
    page = slimmable_section([record({"top1": 0.75}), {"step": "slim", "macs": [1000, 260]}, exits])
    assert page.count("<polyline") == 2 and page.count("<circle") == 4
    assert "0.6000 at 13.0 % of the MACs" in page and "0.6400 at 26.0 %" in page
    assert "0.6500 at 26.0 %" in page and "thresholds" in page


def test_without_evaluation_data_there_is_what_was_held_out_and_no_curve() -> None:
    page = slimmable_section([record({})])
    assert "polyline" not in page and "held out of the training data" in page


def test_other_networks_have_no_such_section() -> None:
    assert slimmable_section([{"step": "prune", "details": {}}]) == ""
