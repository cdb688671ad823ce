"""Checkpoints are recognised by content, unwrapped with a word about it, and never executed."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import edgekit as ek
from edgekit import InputError
from tests.frontend.compare import assert_equal

X = torch.randn(2, 6)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def trained() -> nn.Module:
    torch.manual_seed(9)
    module = net()
    module(torch.randn(8, 6))
    return module.eval()


def _legacy(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def _npz(state: dict[str, torch.Tensor], path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in state.items()})


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "torch": torch.save,
    "torch, legacy": _legacy,
    "safetensors": save_file,
    "npz": _npz,
}


@pytest.mark.parametrize("suffix", [".pt", ".th", ".bin", ""])
@pytest.mark.parametrize("format", WRITERS)
def test_a_checkpoint_is_recognised_by_content(tmp_path: Path, format: str, suffix: str) -> None:
    source, path = trained(), tmp_path / f"weights{suffix}"
    WRITERS[format](source.state_dict(), path)
    graph = ek.load(net(), (X,), weights=path)
    assert_equal(graph.module().eval()(X), source(X), 1e-6)
    assert graph.notes == []


def test_nesting_and_prefixes_are_removed_and_said(tmp_path: Path) -> None:
    source, path = trained(), tmp_path / "checkpoint.pth.tar"
    state = {f"module._orig_mod.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({"epoch": 3, "best": np.float64(0.91), "args": argparse.Namespace(lr=0.1), "model": {"state_dict": state}}, path)
    graph = ek.load(net(), (X,), weights=path)
    assert_equal(graph.module().eval()(X), source(X), 1e-6)
    assert [note.partition(": ")[2] for note in graph.notes] == [
        "taken from 'model' in 'checkpoint.pth.tar'",
        "taken from 'state_dict' in 'checkpoint.pth.tar'",
        "prefix 'module.' removed from every name",
        "prefix '_orig_mod.' removed from every name",
    ]


def test_a_prefix_that_the_model_has_itself_stays(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.module(x)

    source = Wrapped().eval()
    torch.save(source.state_dict(), tmp_path / "w.pt")
    assert_equal(ek.load(Wrapped(), (X,), weights=tmp_path / "w.pt").module().eval()(X), source(X), 1e-6)


def test_weights_leave_the_module_that_was_given_alone(tmp_path: Path) -> None:
    mine = net()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    torch.save(trained().state_dict(), tmp_path / "w.pt")
    ek.load(mine, (X,), weights=tmp_path / "w.pt")
    assert_equal(dict(mine.state_dict()), before, 0.0)


def test_old_checkpoints_without_counters_of_batches_load(tmp_path: Path) -> None:
    source = trained()
    state = {name: tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pt")
    graph = ek.load(net(), (X,), weights=tmp_path / "w.pt")
    assert_equal(graph.module().eval()(X), source(X), 1e-6)
    assert "1 counters of batches" in graph.notes[0]


def test_all_names_and_shapes_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    state = trained().state_dict()
    state["2.weight"] = torch.zeros(5, 4)
    state["3.weight"] = state.pop("0.bias")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError) as error:
        ek.load(net(), (X,), weights=tmp_path / "w.pt")
    assert error.value.what.endswith("do not fit the model: 1 missing, 1 not in the model, 1 of another shape")
    where = (error.value.where or "").splitlines()
    assert where[1:] == [
        "missing: 0.bias",
        "not in the model: 3.weight",
        "of another shape: 2.weight (model (3, 4), file (5, 4))",
    ]
    assert error.value.exit_code == 2


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "ran"
    torch.save({"state_dict": Malicious(trace)}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"holds more than tensors.*could run code, so it is not read") as error:
        ek.load(net(), (X,), weights=tmp_path / "w.pt")
    assert not trace.exists() and "state_dict()" in (error.value.hint or "")
    with (tmp_path / "plain.pkl").open("wb") as file:
        pickle.dump({"a": Malicious(trace)}, file)
    with pytest.raises(InputError, match=r"holds more than tensors.*not written by torch\.save.*is not read") as error:
        ek.load(net(), (X,), weights=tmp_path / "plain.pkl")
    assert not trace.exists() and "weights_only" not in str(error.value)


def test_a_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"holds more than tensors \(torch\.nn\.modules") as error:
        ek.load(net(), (X,), weights=tmp_path / "model.pt")
    assert "torch.save(model.state_dict()" in (error.value.hint or "")


def _truncated(path: Path) -> None:
    torch.save(trained().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])


def _one_byte_wrong(path: Path) -> None:
    torch.save(trained().state_dict(), path)
    data = bytearray(path.read_bytes())
    where = data.index(trained().state_dict()["0.weight"].numpy().tobytes())
    data[where] ^= 0x40
    path.write_bytes(data)


def _text(path: Path) -> None:
    path.write_text("epoch,loss\n1,0.5\n")


def _archive(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")


def _torchscript(path: Path) -> None:
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.trace(net().eval(), X), path)


def _numbers(path: Path) -> None:
    torch.save({"epoch": 1, "loss": 0.5}, path)


def _object_array(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.array([{"a": 1}], dtype=object))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "cannot read the weights"),
    "truncated": (_truncated, "damaged"),
    "one byte wrong": (_one_byte_wrong, "damaged: the checksum of '.*data/0' in it is wrong"),
    "empty": (lambda path: path.write_bytes(b""), "no checkpoint that edgekit knows"),
    "text": (_text, "no checkpoint that edgekit knows"),
    "another archive": (_archive, "a zip archive, but no checkpoint"),
    "TorchScript": (_torchscript, "TorchScript, not weights"),
    "numbers": (_numbers, "holds no table of tensors, but 'epoch', 'loss'"),
    "objects": (_object_array, "damaged"),
    "safetensors cut short": (
        lambda path: (save_file(trained().state_dict(), path), path.write_bytes(path.read_bytes()[:200])),
        "damaged",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_checkpoint_is_an_input_error(tmp_path: Path, kind: str) -> None:
    write, message = BAD[kind]
    path = tmp_path / "weights.bin"
    write(path)
    with pytest.raises(InputError, match=message) as error:
        ek.load(net(), (X,), weights=path)
    assert str(path) in (error.value.where or "")
