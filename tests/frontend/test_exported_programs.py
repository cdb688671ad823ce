""".pt2 files and exported programs load with the batch that they were exported with."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

import edgekit as ek
from edgekit import InputError, Unsupported
from edgekit.ir import N, ops
from tests.frontend.compare import assert_equal

IMAGE = torch.randn(2, 3, 8, 8)


class Net(nn.Module):
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.1)
        )
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Linear(36, 5)
        self.register_buffer("scale", torch.tensor(1.5), persistent=False)
        self.offset = torch.ones(5)

    def forward(self, image: torch.Tensor, *, gain: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        y = self.head(self.norm(self.body(image)).flatten(1)) * self.scale + self.offset
        return {"logits": y, "share": torch.softmax(y, -1)}


def program(module: nn.Module, dynamic: bool = True) -> ExportedProgram:
    shapes = {"image": {0: Dim("batch")}} if dynamic else None
    return export(module.eval(), (IMAGE,), dynamic_shapes=shapes)


def decomposed(made: ExportedProgram) -> ExportedProgram:
    with warnings.catch_warnings():
        # torch copies its own deprecated classes here.
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec", category=FutureWarning)
        return made.run_decompositions()


@pytest.fixture
def module() -> Net:
    torch.manual_seed(4)
    net = Net()
    net(torch.randn(16, 3, 8, 8))
    return net.eval()


def saved(made: ExportedProgram, folder: Path) -> Path:
    torch.export.save(made, folder / "net.pt2")
    return folder / "net.pt2"


def test_a_file_loads_with_its_batch_names_and_structure(module: Net, tmp_path: Path) -> None:
    graph = ek.load(saved(program(module), tmp_path))
    graph.verify()
    assert graph.name == "net" and graph.inputs[0].name == "image" and graph.inputs[0].shape == (N, 3, 8, 8)
    run = graph.module().eval()
    x = torch.randn(5, 3, 8, 8)
    assert_equal(run(x), module(x), 1e-6)
    assert_equal(run(image=x), module(x), 1e-6)
    assert list(run.state_dict()) == list(module.state_dict())
    assert graph.transient == {"scale"}
    assert str(graph.nodes[0].where[0]).startswith("body.0 (")


def test_it_trains_as_the_source_would(module: Net, tmp_path: Path) -> None:
    graph = ek.load(saved(program(module), tmp_path))
    run = graph.module().train()
    assert {type(node.op) for node in graph.nodes} >= {ops.BatchNorm, ops.Dropout}
    before = run.state_dict()["body.1.running_mean"].clone()
    run(torch.randn(6, 3, 8, 8) + 1)["logits"].sum().backward()
    assert not torch.equal(run.state_dict()["body.1.running_mean"], before)
    assert all(parameter.grad is not None for parameter in run.parameters())


def test_a_fixed_batch_stays_fixed(module: Net, tmp_path: Path) -> None:
    graph = ek.load(saved(program(module, dynamic=False), tmp_path))
    assert graph.inputs[0].shape == (2, 3, 8, 8)
    assert_equal(graph.module().eval()(IMAGE), module(IMAGE), 1e-6)


def test_a_decomposed_program_computes_the_same(module: Net) -> None:
    graph = ek.load(decomposed(program(module)))
    x = torch.randn(5, 3, 8, 8)
    assert_equal(graph.module().eval()(x), module(x), 1e-5)


SEQUENCE = torch.randn(2, 6, 8)
DECOMPOSED: dict[str, nn.Module] = {
    "a transformer": nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "layers with names of their own": nn.Sequential(nn.Conv1d(6, 4, 3, padding=1), nn.GELU(), nn.LayerNorm(8), nn.AvgPool1d(2)),
    "activations": nn.Sequential(nn.SiLU(), nn.Hardtanh(), nn.LeakyReLU(), nn.ELU(), nn.Hardswish(), nn.LogSoftmax(-1)),
}


@pytest.mark.parametrize("name", DECOMPOSED)
def test_decomposed_programs_of_common_layers_load(name: str) -> None:
    source = DECOMPOSED[name].eval()
    made = decomposed(export(source, (SEQUENCE,), dynamic_shapes=({0: Dim("batch")},)))
    run = ek.load(made).module().eval()
    x = torch.randn(5, 6, 8)
    with torch.no_grad():
        assert_equal(run(x), source(x), 1e-5)


def test_a_program_in_training_mode_is_refused_by_name(module: Net) -> None:
    made = export(module.train(), (IMAGE,))
    with pytest.raises(Unsupported, match="batch norm is in training mode") as error:
        ek.load(made)
    assert "model.eval()" in (error.value.hint or "")


def test_another_dynamic_dimension_is_refused(module: Net) -> None:
    class Free(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x)

    made = export(Free(), (IMAGE,), dynamic_shapes=({0: Dim("batch"), 2: Dim("height")},))
    with pytest.raises(Unsupported, match="something other than the batch") as error:
        ek.load(made)
    assert error.value.where == "input 'x'" and "fixed sizes" in (error.value.hint or "")


def test_weights_and_pt2_go_together_and_batch_axes_do_not(module: Net, tmp_path: Path) -> None:
    path = saved(program(module), tmp_path)
    other = Net().eval()
    torch.save(other.state_dict(), tmp_path / "w.pt")
    assert_equal(ek.load(path, weights=tmp_path / "w.pt").module().eval()(IMAGE), other(IMAGE), 1e-6)
    with pytest.raises(InputError, match="batch_axes"):
        ek.load(path, batch_axes={"image": None})


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(64) + data[middle + 64 :]


def _one_weight_wrong(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        weight = next(n for n in archive.namelist() if n.endswith("weights/weight_0"))
        where = data.index(archive.read(weight))
    return data[:where] + bytes([data[where] ^ 0x40]) + data[where + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flipped, _one_weight_wrong, lambda data: b"", lambda data: b"not an archive"])
def test_a_damaged_file_is_an_input_error(module: Net, tmp_path: Path, damage: Any) -> None:
    path = saved(program(module), tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError) as error:
        ek.load(path)
    assert str(path) == error.value.where and "torch.export.save" in (error.value.hint or "")


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def _with_part(source: Path, path: Path, name: str, content: bytes) -> Path:
    """The archive with one part replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for part in old.namelist():
            if part != f"{root}/{name}":
                new.writestr(part, old.read(part))
        new.writestr(f"{root}/{name}", content)
    return path


@pytest.mark.parametrize("name", ["data/sample_inputs/model.pt", "data/constants/opaque_obj_0", "data/aotinductor/model/a.so"])
def test_code_in_a_file_is_not_run(
    module: Net, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    trace, content = tmp_path / "ran", io.BytesIO()
    torch.save(((_Trap(trace),), {}), content)
    path = _with_part(saved(program(module), tmp_path), tmp_path / "bad.pt2", name, content.getvalue())
    with pytest.raises(InputError, match="could run code"):
        ek.load(path)
    assert not trace.exists() and capfd.readouterr().err == ""
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1" and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_another_archive_is_no_program(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "net.pt2")
    with pytest.raises(InputError, match="holds no exported program") as error:
        ek.load(tmp_path / "net.pt2")
    assert "--weights" in (error.value.hint or "") and capfd.readouterr().err == ""
