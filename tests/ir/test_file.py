"""A graph file gives the graph back, is the same bytes every time, runs nothing, and is refused where it is not one."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn
from torch.utils import _pytree as pytree

from edgekit.errors import InputError, OutputError
from edgekit.ir import Graph, N, Signature, TensorType, Where, ops
from edgekit.ir.file import load, save
from edgekit.ir.graph_json import FORMAT, relative
from edgekit.ir.history import StepRecord
from edgekit.ir.text import parse, to_text
from tests.ir.random_graphs import graphs


def small_graph() -> Graph:
    return parse("""
        graph net(%x: float32[N,2,4,4])
          @conv.weight: float32[2,2,1,1] parameter(conv.weight, head.weight)
          @frozen: float32[2] frozen
          @mask: bool[4] transient
          @half: bfloat16[1] = [0.5]
          %y = conv2d(%x, @conv.weight, @frozen)
          %z = clamp(%y, low=-inf, high=2.5)
          %r = reshape(%z, shape=(2*N, 16))
          return %r
    """)


def same(a: Graph, b: Graph) -> bool:
    """Equal in all that a graph has, tensors bit for bit."""
    tensors = zip(a.constants(), b.constants(), strict=True)
    return (
        to_text(a) == to_text(b)
        and [n.where for n in a.nodes] == [n.where for n in b.nodes]
        and (a.signature, a.history, a.notes) == (b.signature, b.history, b.notes)
        and all(torch.equal(v.tensor, w.tensor) and v.is_trainable == w.is_trainable for v, w in tensors)
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs())
def test_a_file_gives_the_graph_back(tmp_path_factory: pytest.TempPathFactory, graph: Graph) -> None:
    path = tmp_path_factory.mktemp("graphs") / "net.ekg"
    graph.save(path)
    assert same(load(path), graph)


def test_places_signature_history_and_notes_are_kept(tmp_path: Path) -> None:
    graph = small_graph()
    graph.nodes[0].where = (Where("conv", "nets/small.py", 12, "forward"), Where("bn"))
    example = ((torch.zeros(1),), {"scale": 2.0})
    spec = pytree.tree_flatten(example)[1]
    out = pytree.tree_flatten({"logits": 0, "none": None})[1]
    graph.signature = Signature(
        ("x", "scale"),
        pytree.treespec_dumps(spec),
        pytree.treespec_dumps(out),
        (0, None),
        (None, float("inf")),
        (0, None),
        (None, None),
    )
    graph.history = (
        StepRecord(
            "prune",
            {"criterion": "fpgm", "macs": 0.5},
            (200, 100),
            metrics={"top1": (0.9, 0.89)},
            removed={"conv.weight": {0: (1, 3)}},
            declined={"head": "its output is the model's"},
            warnings=("few samples",),
        ),
    )
    graph.notes = ["dropout acts in training only"]
    graph.save(tmp_path / "net.ekg")
    twin = load(tmp_path / "net.ekg")
    assert same(twin, graph)
    assert twin.module().run([torch.ones(1, 2, 4, 4)])[0].shape == (2, 16)


def test_tied_tensors_are_written_once_and_stay_tied(tmp_path: Path) -> None:
    graph = Graph("tied")
    x = graph.add_input("x", TensorType(torch.float32, (N, 64)))
    weight = nn.Parameter(torch.randn(64, 64))
    graph.add_state("a.weight", weight)
    graph.add_state("b.weight", graph.state["a.weight"])
    graph.add_state("c.weight", weight)  # another value with the very same tensor
    y = graph.add(ops.Linear(), x, graph.state["a.weight"])
    graph.outputs = [graph.add(ops.Linear(), y, graph.state["c.weight"])]
    graph.save(tmp_path / "net.ekg")
    assert (tmp_path / "net.ekg").stat().st_size < 2 * weight.numel() * 4
    twin = load(tmp_path / "net.ekg")
    assert twin.state["a.weight"] is twin.state["b.weight"]
    assert twin.state["a.weight"].tensor.data_ptr() == twin.state["c.weight"].tensor.data_ptr()


def test_a_view_of_a_large_tensor_is_written_alone(tmp_path: Path) -> None:
    graph = Graph("view")
    x = graph.add_input("x", TensorType(torch.float32, (N, 2)))
    large = torch.randn(100_000)
    graph.outputs = [graph.add(ops.Mul(), graph.add(ops.Add(), x, graph.constant(large[:2])), graph.constant(large[1:3]))]
    graph.save(tmp_path / "net.ekg")
    assert (tmp_path / "net.ekg").stat().st_size < 5_000
    assert same(load(tmp_path / "net.ekg"), graph)


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    save(small_graph(), tmp_path / "a.ekg")
    save(load(tmp_path / "a.ekg"), tmp_path / "b.ekg")
    assert (tmp_path / "a.ekg").read_bytes() == (tmp_path / "b.ekg").read_bytes()


def test_a_loaded_graph_does_not_depend_on_its_file(tmp_path: Path) -> None:
    path = tmp_path / "net.ekg"
    save(small_graph(), path)
    graph = load(path)
    before = graph.value("conv.weight").tensor.detach().clone()
    path.write_bytes(b"\0" * path.stat().st_size)
    assert torch.equal(graph.value("conv.weight").tensor, before)


def test_weights_are_readable_by_any_reader_of_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    graph = small_graph()
    save(graph, tmp_path / "net.ekg")
    assert torch.equal(load_file(tmp_path / "net.ekg")["conv.weight"], graph.value("conv.weight").tensor)


def test_paths_in_the_file_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative(str(tmp_path / "nets" / "a.py")) == "nets/a.py"
    assert relative("/usr/lib/python3/site-packages/torch/nn/linear.py") == "torch/nn/linear.py"
    assert relative("/somewhere/else/net.py") == "net.py"
    assert relative("nets/a.py") == "nets/a.py"
    assert relative("") == ""


# ---------------------------------------------------------------------- what is refused


def rewrite(path: Path, change: Any) -> None:
    """Changes the metadata of a safetensors file: ``change(metadata)`` in place."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def edit(change: Any) -> Any:
    """A change of the graph's document."""

    def apply(metadata: dict[str, str]) -> None:
        document = json.loads(metadata[FORMAT])
        change(document)
        metadata[FORMAT] = json.dumps(document)

    return apply


DAMAGE = {
    "an index out of range": lambda d: d["outputs"].append(99),
    "a negative index": lambda d: d["outputs"].append(-1),
    "an unknown op": lambda d: d["nodes"][0].update(op="launch"),
    "an unknown attribute": lambda d: d["nodes"][0]["attributes"].update(colour=3),
    "an attribute of the wrong kind": lambda d: d["nodes"][0]["attributes"].update(stride="two"),
    "a missing tensor": lambda d: d["values"][1].update(tensor="nowhere"),
    "another type": lambda d: d["values"][-1].update(type="float32[N,3]"),
    "a tensor of another shape": lambda d: d["values"][1].update(type="float32[3]"),
    "no type": lambda d: d["values"][0].pop("type"),
    "no nodes": lambda d: d.pop("nodes"),
    "nodes out of order": lambda d: d["nodes"].reverse(),
    "a value computed twice": lambda d: d["nodes"].append(d["nodes"][0]),
    "a wrong scale": lambda d: d["values"][0].update(quant={"dtype": "int8", "scale": [0.0], "zero_point": [0]}),
    "a history that is none": lambda d: d.update(history=[{"colour": 1}]),
    "a signature that names a module": lambda d: d.update(
        signature={
            "parameters": ["x"],
            "inputs": pytree.treespec_dumps(pytree.tree_flatten(((0,), {}))[1]),
            "outputs": '[1, {"type": "collections.defaultdict", "context": {"default_factory_module": "antigravity", '
            '"default_factory_name": "fly", "dict_context": []}, "children_spec": []}]',
            "input_slots": [0],
            "input_constants": [None],
            "output_slots": [],
            "output_constants": [],
        }
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_graph_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "net.ekg"
    save(small_graph(), path)
    rewrite(path, edit(DAMAGE[damage]))
    with pytest.raises(InputError, match="is damaged or not a graph file") as caught:
        load(path)
    assert caught.value.where == str(path) and caught.value.hint


@pytest.mark.parametrize("length", [0, 4, 100, -10])
def test_a_truncated_file_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "net.ekg"
    save(small_graph(), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="is damaged or not a graph file"):
        load(path)


def test_a_newer_form_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.ekg"
    save(small_graph(), path)
    rewrite(path, lambda metadata: metadata.update({"edgekit.graph/2": metadata.pop(FORMAT)}))
    with pytest.raises(InputError, match=r"in the form 'edgekit\.graph/2'") as caught:
        load(path)
    assert "newer edgekit" in str(caught.value.hint)


def test_a_file_of_weights_is_no_graph(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="holds no graph") as caught:
        load(tmp_path / "weights.safetensors")
    assert "--weights" in str(caught.value.hint)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "net.ekg")
    with pytest.raises(InputError, match="is damaged or not a graph file"):
        load(tmp_path / "net.ekg")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        load(tmp_path / "absent.ekg")
    with pytest.raises(InputError):
        load(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.ekg"
    save(small_graph(), path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save(parse("graph other(%x: float32[N,3])\n return %x"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.ekg"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        save(small_graph(), tmp_path / "absent" / "net.ekg")
