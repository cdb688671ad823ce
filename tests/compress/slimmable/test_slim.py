"""A recipe goes on with one size of a slimmable network, named or within a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit import OverBudget, UsageError
from edgekit.compress.slimmable.extraction import sizes_of
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact
from tests.compress.slimmable.test_files import STEP, Plain
from tests.train.networks import blobs, graph_of

torch.set_num_threads(1)

WIDTHS = ek.Slimmable(widths=(0.25, 0.5, 1.0), epochs=1, training=STEP.training)


@pytest.fixture(scope="module")
def slimmable() -> Graph:
    torch.manual_seed(0)
    return WIDTHS.apply(graph_of(Plain(), (2, 1, 8, 8)), ek.Data(train=blobs(64)))


def size_of(graph: Graph) -> str:
    return str(graph.history[-1].details["size"]["name"])


@pytest.mark.parametrize("count", ["macs", "parameters"])
def test_a_budget_takes_the_largest_size_within_it(slimmable: Graph, count: str) -> None:
    whole, half, quarter = (row[count] for row in slimmable.history[-1].details["sizes"])
    for allowed, name in ((1.0, "1"), (half, "0.5"), (half - 1, "0.25"), (half / whole, "0.5"), (quarter, "0.25")):
        small = ek.Slim(**{count: allowed}).apply(slimmable)
        assert size_of(small) == name and getattr(small, count) <= max(allowed, allowed * whole)
    with pytest.raises(OverBudget, match=r"no size brings .* at 0\.25") as caught:
        ek.Slim(**{count: quarter - 1}).apply(slimmable)
    assert caught.value.hint and f"{quarter:,}" in str(caught.value)


def test_a_measured_budget_is_of_the_file_and_names_every_size_that_was_tried(slimmable: Graph) -> None:
    calibration = blobs(32)[0]
    small = ek.Slim(bytes=0.75).apply(slimmable, ek.Data(calibration=calibration))
    found = small.history[-1].details["measured"]
    tried = {row["size"]: row["share"] for row in found["candidates"]}
    assert tried["1"] == 1 and tried[size_of(small)] == found["share"] <= 0.75 and found["file"] == "int8 TFLite"
    assert all(share > 0.75 for name, share in tried.items() if name != size_of(small))
    assert any("bytes of the int8 TFLite file" in note for note in small.history[-1].notes)
    with pytest.raises(OverBudget, match="bytes were measured"):
        ek.Slim(bytes=100).apply(slimmable, ek.Data(calibration=calibration))


def test_the_size_is_an_ordinary_network_for_steps_and_builds(slimmable: Graph, tmp_path: Path) -> None:
    recipe = ek.Recipe([WIDTHS, ek.Slim(macs=0.5), ek.Prune(ratio=0.5)])
    torch.manual_seed(0)
    small = recipe.apply(graph_of(Plain(), (2, 1, 8, 8)), ek.Data(train=blobs(64)))
    assert [record.step for record in small.history] == ["slimmable", "slim", "prune"] and not sizes_of(small)
    assert not any(name.startswith("slimmable") for name in small.state)
    half = ek.slimmed(slimmable, 0.5)
    x = blobs(8, seed=3)[0]
    builds = ek.build(half, ["tflite-fp32"], output=tmp_path)
    assert [build.target for build in builds] == ["tflite-fp32"]
    with torch.no_grad():
        want = half.module().eval()(torch.from_numpy(x)).numpy()
    assert np.allclose(Artifact(builds[0].artifact).run(x), want, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "width or one budget"),
        ({"width": 0.5, "macs": 0.5}, "not width, macs"),
        ({"macs": 0.5, "depth": 0.5}, "goes with|together with"),
        ({"width": 1.5}, "up to 1"),
        ({"macs": 0.5, "on": "local"}, "where a budget is measured"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        ek.Slim(**fields)  # type: ignore[arg-type]
    assert caught.value.hint


def test_a_network_of_one_size_has_none_to_take(slimmable: Graph) -> None:
    for graph in (graph_of(Plain(), (2, 1, 8, 8)), ek.slimmed(slimmable, 0.5)):
        with pytest.raises(UsageError, match="not slimmable"):
            ek.Slim(macs=0.5).apply(graph)
    with pytest.raises(UsageError, match=r"no size 0\.3"):
        ek.Slim(width=0.3).apply(slimmable)
