"""Loops, branches and calls of .tflite files: what is decided while the file is read becomes part of the graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.compress.quantize.dynamic_range import quantize_weights_only
from edgekit.errors import EdgekitError, Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.formats.tflite.model import Model, Operator, Options, Subgraph
from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.formats.tflite.write import write
from edgekit.frontend.source import load
from edgekit.ir import Graph, ops, simulate
from edgekit.ir.ops import SCORES
from edgekit.runtime.artifact import Artifact
from tests.exits import choice, network, quantized, samples, taken
from tests.export.tflite.running import run
from tests.frontend.tflite.files import File, assert_agrees, load_bytes

torch.set_num_threads(1)


class Layers(nn.Module):
    """Recurrent layers between a convolution and a classifier."""

    def __init__(self, kind: type[nn.RNNBase], **settings: Any) -> None:
        super().__init__()
        self.before = nn.Conv1d(3, 5, 3)
        self.layers = kind(5, 40, batch_first=True, **settings)
        self.after = nn.Linear(80 if settings.get("bidirectional") else 40, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.layers(torch.relu(self.before(x)).transpose(1, 2))
        return self.after(y[:, -1] + y.mean(1))


@pytest.mark.parametrize(
    ("kind", "settings", "count"),
    [
        (nn.GRU, {}, 1),
        (nn.GRU, {"bidirectional": True, "num_layers": 2}, 4),
        (nn.GRU, {"bias": False}, 1),
        (nn.RNN, {"nonlinearity": "relu"}, 1),
    ],
)
def test_a_recurrent_layer_that_was_written_as_a_loop_is_one_again(
    kind: type[nn.RNNBase], settings: dict[str, Any], count: int, tmp_path: Path
) -> None:
    graph = load(Layers(kind, **settings).eval(), (torch.randn(1, 3, 9),))
    loaded = load_bytes(export(graph), tmp_path)
    found = [node.op for node in loaded.nodes if isinstance(node.op, ops.Gru | ops.Rnn)]
    assert len(found) == count and loaded.inputs[0].type.has_batch
    assert len(loaded.state) == 4 + count * (4 if settings.get("bias", True) else 2)
    x = torch.randn(3, 3, 9)
    with torch.no_grad():
        torch.testing.assert_close(loaded.module().eval()(x.transpose(1, 2)), graph.module().eval()(x), rtol=0, atol=1e-5)


def test_8_bit_weights_of_a_loop_come_back_with_a_scale_for_each_row(tmp_path: Path) -> None:
    graph = quantize_weights_only(load(Layers(nn.GRU).eval(), (torch.randn(1, 3, 9),)))
    loaded = load_bytes(export(graph), tmp_path)
    ours, theirs = ([v for v in g.state.values() if v.type.rank == 2 and v.type.shape[0] == 120] for g in (graph, loaded))
    assert len(ours) == len(theirs) == 2
    for value, back in zip(ours, theirs, strict=True):
        assert value.quant is not None and back.quant is not None and back.quant.axis == 0
        np.testing.assert_allclose(back.quant.scale, value.quant.scale, rtol=1e-6)
    x = torch.randn(2, 3, 9)
    torch.testing.assert_close(simulate(loaded, x.transpose(1, 2)), simulate(graph, x), rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------------- files of others


def part(file: File, *outputs: int) -> Subgraph:
    return Subgraph(tuple(file.tensors), tuple(file.inputs), tuple(outputs), tuple(file.operators))


def content(*parts: Subgraph) -> bytes:
    return write(Model(parts), names="all")


def running(
    main: File, code: str, inputs: list[int], shapes: list[tuple[int, ...]], types: list[str], **fields: int
) -> list[int]:
    """An operator of the main part that runs others."""
    results = [main.result(shape, type) for shape, type in zip(shapes, types, strict=True)]
    table = {"WHILE": "WhileOptions", "IF": "IfOptions", "CALL": "CallOptions"}[code]
    main.operators.append(Operator(Op[code], tuple(inputs), tuple(results), Options(table, dict(fields))))
    return results


def below(limit: int, *shapes: tuple[int, ...]) -> Subgraph:
    """A condition: the counter, which comes first, is below a number."""
    file = File()
    counter = file.input(1, type="i4")
    for shape in shapes:
        file.input(*shape)
    return part(file, file.op("LESS", [counter, file.ints([limit])], (1,), type="?", table="LessOptions"))


def cell(collects: bool) -> Subgraph:
    """h' = tanh(W x_t + U h), written as TensorFlow's converter writes a Keras layer: the cell and its weights in the loop."""
    file = File(3)
    counter, h, x = file.input(1, type="i4"), file.input(1, 4), file.input(6, 1, 3)
    sequence = file.input(6, 1, 4) if collects else -1
    row = file.op("RESHAPE", [file.op("GATHER", [x, counter], (1, 1, 3), table="GatherOptions"), file.ints(1, 3)], (1, 3))
    now = file.op("FULLY_CONNECTED", [row, file.weight(4, 3), -1], (1, 4), table="FullyConnectedOptions")
    before = file.op("FULLY_CONNECTED", [h, file.weight(4, 4), -1], (1, 4), table="FullyConnectedOptions")
    after = file.op("TANH", [file.op("ADD", [now, before], (1, 4), table="AddOptions")], (1, 4))
    following = file.op("ADD", [counter, file.ints([1])], (1,), type="i4", table="AddOptions")
    if not collects:
        return part(file, following, after, x)
    line = file.op("RESHAPE", [after, file.ints(1, 1, 4)], (1, 1, 4))
    kept = file.op("CONCATENATION", [counter, file.ints(-1, -1)], (3,), type="i4", table="ConcatenationOptions")
    rest = file.op("CONCATENATION", [following, file.ints(0, 0)], (3,), type="i4", table="ConcatenationOptions")
    first = file.op("SLICE", [sequence, file.ints(0, 0, 0), kept], (1, 1, 1), table="SliceOptions")
    last = file.op("SLICE", [sequence, rest, file.ints(-1, -1, -1)], (1, 1, 4), table="SliceOptions")
    for index in (first, last):
        file.tensors[index] = replace(file.tensors[index], shape_signature=(-1, -1, -1))
    whole = file.op("CONCATENATION", [first, line, last], (6, 1, 4), table="ConcatenationOptions")
    return part(file, following, after, x, whole)


@pytest.mark.parametrize("collects", [False, True], ids=["the last state", "all states"])
def test_a_loop_of_a_known_number_of_steps_is_written_out_with_one_copy_of_its_weights(collects: bool, tmp_path: Path) -> None:
    main = File()
    x = main.input(6, 1, 3)
    carried = [main.ints([0]), main.constant(np.zeros((1, 4), np.float32)), x]
    shapes: list[tuple[int, ...]] = [(1,), (1, 4), (6, 1, 3)]
    if collects:
        carried, shapes = [*carried, main.constant(np.zeros((6, 1, 4), np.float32))], [*shapes, (6, 1, 4)]
    types = ["i4", *["f4"] * (len(shapes) - 1)]
    results = running(main, "WHILE", carried, shapes, types, cond_subgraph_index=1, body_subgraph_index=2)
    file = content(part(main, results[3 if collects else 1]), below(6, *shapes[1:]), cell(collects))
    graph = assert_agrees(file, tmp_path)
    assert sum(isinstance(node.op, ops.Tanh) for node in graph.nodes) == 6
    assert sum(isinstance(node.op, ops.Concat) for node in graph.nodes) == (1 if collects else 0)
    assert len(graph.state) == 2


def updating(steps: int) -> Subgraph:
    """A body that writes its counter's row of zeros anew."""
    file = File()
    counter, rows = file.input(1, type="i4"), file.input(5, 2)
    start = file.op("PAD", [counter, file.constant(np.array([[0, 1]], np.int32))], (2,), type="i4", table="PadOptions")
    row = file.op("SLICE", [rows, file.ints(0, 0), file.ints(1, 2)], (1, 2), table="SliceOptions")
    more = file.op("ADD", [row, file.constant(np.ones((1, 2)))], (1, 2), table="AddOptions")
    written = file.op("DYNAMIC_UPDATE_SLICE", [rows, more, start], (5, 2))
    following = file.op("ADD", [counter, file.ints([steps])], (1,), type="i4", table="AddOptions")
    return part(file, following, written)


def test_rows_that_a_loop_writes_are_put_in_their_places(tmp_path: Path) -> None:
    main = File()
    x = main.input(5, 2)
    types, shapes = ["i4", "f4"], [(1,), (5, 2)]
    results = running(main, "WHILE", [main.ints([1]), x], shapes, types, cond_subgraph_index=1, body_subgraph_index=2)
    assert_agrees(content(part(main, results[1]), below(5, (5, 2)), updating(2)), tmp_path, kernels="default")


@pytest.mark.parametrize("way", [True, False])
def test_of_a_branch_that_a_constant_selects_only_that_one_is_read(way: bool, tmp_path: Path) -> None:
    then, other, main = File(), File(), File()
    first = then.op("ABS", [then.input(2, 3)], (2, 3))
    second = other.op("TANH", [other.input(2, 3)], (2, 3))
    inputs = [main.constant(np.array(way)), main.input(2, 3)]
    (y,) = running(main, "IF", inputs, [(2, 3)], ["f4"], then_subgraph_index=1, else_subgraph_index=2)
    graph = assert_agrees(content(part(main, y), part(then, first), part(other, second)), tmp_path, kernels="default")
    assert [node.op.name for node in graph.nodes] == ["abs" if way else "tanh"]


def refusal(file: bytes, folder: Path) -> Unsupported:
    with pytest.raises(Unsupported) as caught:
        load_bytes(file, folder)
    assert caught.value.where and caught.value.hint
    return caught.value


def test_a_branch_that_the_model_decides_is_refused(tmp_path: Path) -> None:
    then, other, main = File(), File(), File()
    first, second = (file.op("ABS", [file.input(1, 3)], (1, 3)) for file in (then, other))
    x = main.input(1, 3)
    total = main.op("SUM", [x, main.ints([0, 1])], (), table="ReducerOptions")
    yes = main.op("GREATER", [total, main.constant(np.float32(0))], (), type="?", table="GreaterOptions")
    (y,) = running(main, "IF", [yes, x], [(1, 3)], ["f4"], then_subgraph_index=1, else_subgraph_index=2)
    error = refusal(content(part(main, y), part(then, first), part(other, second)), tmp_path)
    assert "which branch" in error.what


@pytest.mark.parametrize(("limit", "what"), [(300, "more than 256 times"), (None, "how often")])
def test_a_loop_without_a_known_end_is_refused(limit: int | None, what: str, tmp_path: Path) -> None:
    body, main = File(), File()
    counter = body.input(1, type="i4")
    x = body.input(1, 3)
    following = body.op("ADD", [counter, body.ints([1])], (1,), type="i4", table="AddOptions")
    condition = below(limit or 0, (1, 3))
    if limit is None:
        file = File()
        file.input(1, type="i4")
        largest = file.op("REDUCE_MAX", [file.input(1, 3), file.ints([0, 1])], (), table="ReducerOptions")
        condition = part(file, file.op("LESS", [largest, file.constant(np.float32(1))], (), type="?", table="LessOptions"))
    inputs = [main.ints([0]), main.input(1, 3)]
    shapes = [(1,), (1, 3)]
    results = running(main, "WHILE", inputs, shapes, ["i4", "f4"], cond_subgraph_index=1, body_subgraph_index=2)
    twice = body.op("ABS", [x], (1, 3))
    assert what in refusal(content(part(main, results[1]), condition, part(body, following, twice)), tmp_path).what


def test_what_a_loop_cannot_compute_is_told_once(tmp_path: Path) -> None:
    body, main = File(), File()
    counter, x = body.input(1, type="i4"), body.input(1, 3)
    following = body.op("ADD", [counter, body.ints([1])], (1,), type="i4", table="AddOptions")
    strange = body.op("SVDF", [x], (1, 3))
    inputs = [main.ints([0]), main.input(1, 3)]
    results = running(main, "WHILE", inputs, [(1,), (1, 3)], ["i4", "f4"], cond_subgraph_index=1, body_subgraph_index=2)
    error = refusal(content(part(main, results[1]), below(4, (1, 3)), part(body, following, strange)), tmp_path)
    assert "SVDF" in error.what and "WHILE" not in str(error)


def test_parts_that_run_each_other_are_refused(tmp_path: Path) -> None:
    parts = []
    for other in (2, 1):
        file = File()
        x = file.input(1, 3)
        parts.append(part(file, *running(file, "CALL", [x], [(1, 3)], ["f4"], subgraph=other)))
    main = File()
    y = running(main, "CALL", [main.input(1, 3)], [(1, 3)], ["f4"], subgraph=1)
    assert "the part of the model that it stands in" in refusal(content(part(main, *y), *parts), tmp_path).what


def test_a_number_of_a_part_that_the_file_does_not_have_is_damage(tmp_path: Path) -> None:
    main = File()
    y = running(main, "CALL", [main.input(1, 3)], [(1, 3)], ["f4"], subgraph=7)
    with pytest.raises(EdgekitError, match="damaged"):
        load_bytes(content(part(main, *y)), tmp_path)


# ---------------------------------------------------------------------------------------------- early exits


def outputs_of(file: bytes, x: torch.Tensor) -> torch.Tensor:
    return run(Artifact(file, kernels="reference"), [x])[0]


def assert_exits_come_back(graph: Graph, loaded: Graph) -> None:
    op, back = choice(graph).op, choice(loaded).op
    assert isinstance(op, ops.ChooseExit) and isinstance(back, ops.ChooseExit)
    assert back.score == op.score
    np.testing.assert_allclose(back.temperatures, op.temperatures, rtol=1e-6)
    np.testing.assert_allclose(back.thresholds, op.thresholds, rtol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_early_exits_come_back(score: str, tmp_path: Path) -> None:
    graph, x = network(score), samples(60)
    assert min(taken(graph, x)) > 2
    loaded = load_bytes(export(graph), tmp_path)
    assert_exits_come_back(graph, loaded)
    with torch.no_grad():
        want, got = graph.module().eval()(x), loaded.module().eval()(x.permute(0, 2, 3, 1))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_early_exits_of_an_integer_file_come_back_with_the_same_integers(tmp_path: Path) -> None:
    graph, x = quantized(network()), samples(60)
    loaded = load_bytes(export(graph), tmp_path)
    assert_exits_come_back(graph, loaded)
    assert torch.equal(simulate(loaded, x.permute(0, 2, 3, 1)), simulate(graph, x))
    assert torch.equal(outputs_of(export(loaded), x.permute(0, 2, 3, 1)), simulate(graph, x))
