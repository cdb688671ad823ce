"""Which linear layers share one scale for all channels."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.mixed_precision.granularity import ENOUGH, MOST_LOST, Granularity, choose_granularity
from edgekit.compress.mixed_precision.noise import output_sqnr_db
from edgekit.compress.quantize.post_training import quantize
from edgekit.formats.tflite.read import read
from edgekit.ir import Graph, ops
from edgekit.target import targets_folder
from tests.compress.quantize.prepared import of_kind, prepared

X = torch.randn(64, 32, generator=torch.Generator().manual_seed(1)) + 2.0


class Narrow(nn.Module):
    """Narrow linear layers, whose scales are much of the file; rows of the second have a large weight on what is small."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Linear(32, width)
        self.uneven = nn.Linear(width, width)
        self.last = nn.Linear(width, 40)
        with torch.no_grad():
            self.first.weight[0] *= 0.02
            self.first.bias[0] = 0.0
            self.uneven.weight[:, 0] = 0.0
            self.uneven.weight[:4, 0] = 3.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(torch.relu(self.uneven(torch.relu(self.first(x)))))
        return y


def graph_of(module: nn.Module) -> Graph:
    return prepared(ek.load(module.eval(), example_inputs=(X[:1],)))


def chosen(graph: Graph, asked: list[tuple[str, ...]] | None = None) -> Granularity | None:
    def quantized(shared: Collection[str]) -> Graph:
        if asked is not None:
            asked.append(tuple(shared))
        return quantize(graph, [[X]], shared=shared)[0]

    return choose_granularity(graph, [[X]], quantized)


@pytest.fixture(scope="module")
def narrow() -> Graph:
    torch.manual_seed(0)
    return graph_of(Narrow())


def test_layers_share_a_scale_where_that_costs_little_and_keep_theirs_where_it_costs_much(narrow: Graph) -> None:
    found = chosen(narrow)
    assert found is not None
    by_name = {row.layer: row for row in found.layers}
    assert not by_name["uneven.weight"].shared and found.shared
    rows = list(by_name.values())
    assert all(row.shared_noise_db > row.own_noise_db for row in rows)
    assert found.sqnr_db >= max(found.own_sqnr_db - MOST_LOST, ENOUGH) - 1e-6


def test_the_figures_are_those_of_the_graph_that_comes_of_it(narrow: Graph) -> None:
    found = chosen(narrow)
    assert found is not None
    after = quantize(narrow, [[X]], shared=found.shared)[0]
    assert output_sqnr_db(narrow, after, [X]) == pytest.approx(found.sqnr_db, abs=1e-6)
    assert chosen(narrow) == found  # and the same every time
    own = {node.output.name for node in of_kind(after, ops.Linear) if (q := node.input(1).quant) is not None and q.per_channel}
    assert own.isdisjoint(found.shared) and len(own) + len(found.shared) == 3


def test_nothing_is_tried_where_scales_are_little_of_the_file() -> None:
    asked: list[tuple[str, ...]] = []
    convolutional = nn.Sequential(nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 64, 3), nn.Flatten(), nn.Linear(256, 4))
    assert chosen(graph_of(convolutional), asked) is None and asked == []


def test_a_network_that_has_no_accuracy_to_spare_keeps_all_scales() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(32, 24)]
    for _ in range(8):
        layers += [nn.Tanh(), nn.Linear(24, 24)]
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, nn.Linear):
                layer.weight *= 6.0
    found = chosen(graph_of(nn.Sequential(*layers)))
    assert found is not None and found.own_sqnr_db < ENOUGH
    assert found.shared == () and found.saved == 0 and "keeps a scale for each channel" in found.line()


def test_the_file_is_smaller_by_what_is_reported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Narrow().eval()
    data = X.numpy()
    target = tmp_path / "all-scales.toml"
    lines = (targets_folder() / "tflite-int8.toml").read_text().splitlines()
    target.write_text("\n".join(line for line in lines if not line.startswith("fully_connected")))
    small, large = ek.build(
        ek.load(module, example_inputs=(X[:1],)),
        ["tflite-int8", str(target)],
        calibration=np.concatenate([data, data]),
        output=tmp_path / "out",
        name="net",
    )
    said = small.report.as_dict()["quantization"]["shared_scales"]
    assert said["saved"] > 0 and any(row["shared"] for row in said["layers"])
    saved = large.artifact.stat().st_size - small.artifact.stat().st_size
    assert abs(saved - said["saved"]) <= 64  # vectors have lengths, and buffers stand at multiples of 16
    assert large.report.as_dict()["quantization"]["shared_scales"] is None
    assert read(small.artifact.read_bytes()).op_counts() == read(large.artifact.read_bytes()).op_counts()
