"""``ek.load`` takes a module, a reference to code or a file, and explains what it cannot take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit import InputError, Unsupported
from edgekit.ir import N
from tests.frontend.compare import assert_equal

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = nn.Linear(6, width)

    def forward(self, x):
        return torch.relu(self.layer(x))

def build():
    torch.manual_seed(7)
    return Net()

def with_examples():
    return build(), (torch.zeros(1, 6),)

def needs_an_argument(width):
    return Net(width)

def raises():
    raise RuntimeError("no such width")

def returns_a_dict():
    return {"model": build()}

def returns_three():
    return build(), 1, 2

instance = build()
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / f"nets_{tmp_path.name.replace('-', '_')}"
    package.mkdir()
    (package / "small.py").write_text(NET)
    (package / "broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.chdir(tmp_path)
    return package


def reference(folder: Path, name: str, module: str = "small") -> str:
    return f"{folder.name}.{module}:{name}"


@pytest.mark.parametrize("name", ["build", "Net", "instance"])
def test_a_reference_names_a_function_a_class_or_a_module(folder: Path, name: str) -> None:
    graph = ek.load(reference(folder, name), input_shapes=["1,6"])
    assert graph.name == name and graph.inputs[0].shape == (N, 6)
    assert str(graph.nodes[0].where[0]).startswith("layer (") and "small.py:11" in str(graph.nodes[0].where[0])


def test_a_reference_may_bring_its_examples(folder: Path) -> None:
    assert ek.load(reference(folder, "with_examples")).inputs[0].shape == (N, 6)
    graph = ek.load(reference(folder, "with_examples"), torch.zeros(3, 2, 6))
    assert graph.inputs[0].shape == (N, 2, 6)


def test_the_root_is_on_sys_path_only_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    before = list(sys.path)
    graph = ek.load(reference(folder, "with_examples"), root=folder.parent, name="mine")
    assert graph.name == "mine" and sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("biuld", "has no 'biuld'"),
        ("raises", "raised RuntimeError: no such width"),
        ("needs_an_argument", "cannot be called without arguments: missing a required argument: 'width'"),
        ("returns_a_dict", "returned dict, not a model"),
        ("returns_three", "returned a tuple of 3, not a model"),
        ("number", "is a int, not a callable"),
        ("build", r"shapes of the inputs \(x\) are not known"),
    ],
)
def test_a_wrong_reference_is_an_input_error_that_says_what_is_wrong(folder: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        ek.load(reference(folder, name))
    assert error.value.exit_code == 2 and (error.value.hint or error.value.where)


def test_a_module_that_is_missing_or_cannot_be_imported_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="no module"):
        ek.load(reference(folder, "build", "samll"))
    with pytest.raises(InputError, match="needs the module 'nothing_of_this_name'"):
        ek.load(reference(folder, "build", "broken"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".xyz"])
def test_a_format_that_is_not_read_says_which_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"x")
    with pytest.raises(Unsupported, match=f"does not read '{suffix}' files") as error:
        ek.load(path)
    assert error.value.hint


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"")
    with pytest.raises(InputError, match="there is no") as error:
        ek.load(tmp_path / "modle.pt2")
    assert error.value.hint == "did you mean 'model.pt2'?"
    (tmp_path / "net.py").write_text("")
    for name, hint in (("net.build", "did you mean 'net:build'? MODEL is"), ("modle.ekg", "MODEL is"), ("[.pt3", "MODEL is")):
        with pytest.raises(InputError, match="there is no") as error:
            ek.load(tmp_path / name)
        assert (error.value.hint or "").startswith(hint)


def test_something_that_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match="a model of type 'list'"):
        ek.load([1, 2])


def test_a_saved_graph_loads_with_new_weights(tmp_path: Path) -> None:
    x = torch.randn(2, 6)
    first, second = nn.Linear(6, 3), nn.Linear(6, 3)
    ek.load(first, (x,)).save(tmp_path / "net.ekg")
    torch.save(second.state_dict(), tmp_path / "second.pt")
    assert_equal(ek.load(tmp_path / "net.ekg").module()(x), first(x), 1e-6)
    assert_equal(ek.load(tmp_path / "net.ekg", weights=tmp_path / "second.pt").module()(x), second(x), 1e-6)


SHAPES = [
    (["1,6"], [(N, 6)], torch.float32),
    (["x=1,6"], [(N, 6)], torch.float32),
    (["x=1,6:float64"], [(N, 6)], torch.float64),
    ({"x": (2, 6)}, [(N, 6)], torch.float32),
    ({"x": ((2, 6), "int32")}, [(N, 6)], torch.int32),
]


@pytest.mark.parametrize(("shapes", "types", "dtype"), SHAPES)
def test_shapes_stand_for_examples(shapes: object, types: list[object], dtype: torch.dtype) -> None:
    class Double(nn.Module):
        def forward(self, x: torch.Tensor, *, scale: float = 2.0) -> torch.Tensor:
            return x * 2

    graph = ek.load(Double(), input_shapes=shapes)  # type: ignore[arg-type]
    assert [value.shape for value in graph.inputs] == types and graph.inputs[0].type.dtype == dtype


class TwoInputs(nn.Module):
    def forward(self, image: torch.Tensor, ids: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        y = image + ids
        return y if extra is None else y + extra


def test_shapes_go_by_position_or_by_name() -> None:
    for shapes in (["1,4", "1,4:int64"], ["ids=1,4:int64", "1,4"], ["ids=1,4:int64", "image=1,4"], ["image=1,4", "1,4:int64"]):
        graph = ek.load(TwoInputs(), input_shapes=shapes)
        assert {value.name: value.type.dtype for value in graph.inputs} == {"image": torch.float32, "ids": torch.int64}
    graph = ek.load(TwoInputs(), input_shapes={"image": (1, 4), "ids": (1, 4), "extra": (1, 4)})
    assert [value.name for value in graph.inputs] == ["image", "ids", "extra"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (["imgae=1,4"], "has no parameter 'imgae'"),
        (["1,4"], "no shape for the input 'ids'"),
        (["1,4:float99", "1,4"], "unknown element type 'float99'"),
        (["1,4", "1,4", "1,4", "1,4"], "more input shapes than parameters"),
    ],
)
def test_wrong_shapes_are_input_errors(shapes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ek.load(TwoInputs(), input_shapes=shapes)


def test_the_door_to_load_imports_nothing_heavy_before_it_is_used() -> None:
    code = "import edgekit, sys; edgekit.load; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrappers_of_torch_are_looked_through() -> None:
    module = nn.Linear(6, 3)
    for wrapped in (nn.DataParallel(module), torch.compile(module, backend="eager")):
        graph = ek.load(wrapped, torch.zeros(1, 6))
        assert list(graph.state) == ["weight", "bias"] and graph.state["weight"].data is module.weight


def test_torchscript_is_refused_with_the_way_out() -> None:
    with pytest.warns(DeprecationWarning):
        script = torch.jit.trace(nn.Linear(6, 3), torch.zeros(1, 6))
    with pytest.raises(Unsupported, match="TorchScript"):
        ek.load(script, torch.zeros(1, 6))


def test_a_result_class_that_torch_does_not_know_says_how_to_register_it() -> None:
    import dataclasses

    @dataclasses.dataclass
    class Result:
        y: torch.Tensor

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> Result:
            return Result(x * 2)

    with pytest.raises(Unsupported, match="not a known type") as error:
        ek.load(Net(), torch.zeros(1, 6))
    assert "register_dataclass" in (error.value.hint or "")


def test_an_element_type_without_a_form_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"type torch\.complex128"):
        ek.load(nn.Identity(), torch.zeros(1, 6, dtype=torch.complex128))
