"""A weight that several calls of one module read is one weight in training, whatever integers each call rounds it to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.qat import application
from edgekit.ir import Graph, ops, simulate
from edgekit.ir.quant import RANGES
from edgekit.runtime.artifact import Artifact

torch.set_num_threads(1)


class Repeated(nn.Module):
    """The same layer three times, as in a recurrent network that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = torch.relu(self.again(x))
        return self.head(x)  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One matrix as a table of embeddings, which stays float, and as the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.inner = nn.Embedding(7, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inner(self.table(x))).mean(1) @ self.table.weight.t()


def trained(weights: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Graph, Graph, torch.Tensor, nn.Module]:
    """What came out, what was trained, the samples and the source."""
    seen: list[Graph] = []
    absorb = application.absorb
    monkeypatch.setattr(application, "absorb", lambda graph: seen.append(graph) or absorb(graph))
    torch.manual_seed(3)
    model, x = Repeated().eval(), torch.randn(64, 8)
    data = ek.Data(train=(x.numpy(), np.arange(64) % 3))
    step = ek.QAT(weights=weights, epochs=2, training=ek.Training(optimizer="sgd", lr=0.02, batch_size=16, validation=0.0))
    result = step.apply(ek.load(model, (x[:1],)), data)
    return result, seen[-1], x, model


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_every_call_has_the_integers_that_were_trained(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result, student, x, model = trained(weights, monkeypatch)
    roundings = [n for n in student.nodes if isinstance(n.op, ops.FakeQuantize) and n.op.axis == 0 and n.op.dtype != "int32"]
    sources = {id(node.input(0)) for node in roundings if node.input(0).name.startswith("again")}
    assert len(sources) == 1, "one tensor is trained"
    assert not torch.equal(student.value("again.weight").tensor, model.again.weight)
    with torch.no_grad():
        assert torch.equal(student.module().eval()(x), result.module().eval()(x))
    types = set()
    for value in result.constants():
        if value.quant is not None and value.type.rank == 2:
            types.add(value.quant.dtype)
            integers = value.tensor.detach() / torch.tensor(value.quant.scale)[:, None]
            assert torch.allclose(integers, integers.round(), atol=1e-4), value.name
            assert integers.abs().max() <= RANGES[value.quant.dtype][1] + 1e-4
    assert types == ({"int8"} if weights == "int8" else {"int8", "int4"})


def test_the_file_computes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, _, x, _ = trained("int4", monkeypatch)
    built = ek.build(result, "tflite-int8", output=tmp_path)
    from_file = Artifact(built.artifact, kernels="reference").run_flat([x.numpy()])[0]
    assert np.array_equal(from_file, simulate(result, x).numpy())


def test_a_table_that_is_read_in_float_too_keeps_what_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Graph] = []
    absorb = application.absorb
    monkeypatch.setattr(application, "absorb", lambda graph: seen.append(graph) or absorb(graph))
    torch.manual_seed(0)
    x = torch.randint(0, 7, (48, 5))
    data = ek.Data(train=(x.numpy(), x.numpy().max(1)))
    step = ek.QAT(weights="int4", edges=False, epochs=2, training=ek.Training(optimizer="sgd", lr=0.02, validation=0.0))
    result = step.apply(ek.load(Tied().eval(), (x[:1],)), data)
    with torch.no_grad():
        assert torch.equal(seen[-1].module().eval()(x), result.module().eval()(x))
