"""Damaged and hostile files give an error for users, soon and in little memory, and nothing in a file is run."""

from __future__ import annotations

import collections
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgekit as ek
from edgekit import InputError, Unsupported
from edgekit.errors import EdgekitError
from tests.frontend.onnx import hostile
from tests.frontend.onnx.models import array, load, model, node, save

INT = np.int64
HUGE, WIDE = 2**40, [2**20, 2**20]


def _attempt_all(seed: int, count: int, pipe: Any) -> None:
    """In a process of its own, so that its memory can be limited."""
    import torch

    torch.set_num_threads(1)
    files = (hostile.good(), hostile.recurrent())
    assert [hostile.attempt(data) for data in files] == ["loaded", "loaded"]
    hostile.limit_memory()
    kinds: collections.Counter[str] = collections.Counter()
    for data in files:
        for change in (hostile.mutations, hostile.structural):
            for index, mutant in enumerate(change(data, count // 4, seed)):
                try:
                    kinds[hostile.attempt(mutant)] += 1
                except Exception as error:
                    pipe.send(f"{change.__name__}, mutant {index} of seed {seed}: {type(error).__name__}: {error}")
                    return
    pipe.send(kinds)


def outcome(seed: int, count: int, limit: float) -> collections.Counter[str]:
    """What became of so many mutated files; the test fails where they take more than ``limit`` seconds together."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=_attempt_all, args=(seed, count, theirs))
    worker.start()
    theirs.close()
    try:
        if not ours.poll(limit):
            pytest.fail(f"the process that reads {count} files has not answered for {limit:.0f} s")
        found = ours.recv()
    except EOFError:
        pytest.fail("the process that read the files ended")
    finally:
        worker.join(5)  # it has answered or ended, or it hangs
        worker.kill()
        worker.join()
    if isinstance(found, str):
        pytest.fail(found)
    return collections.Counter(found)


def test_mutated_files_load_or_are_refused() -> None:
    kinds = outcome(seed=1, count=200, limit=240)
    assert set(kinds) <= {"loaded", "InputError", "Unsupported"} and min(kinds.values()) > 10


@pytest.mark.slow
def test_two_thousand_mutated_files_load_or_are_refused() -> None:
    kinds = outcome(seed=2, count=2000, limit=1200)
    assert set(kinds) <= {"loaded", "InputError", "Unsupported"} and kinds["loaded"] > 100


def claiming(dims: list[int], data: bytes = b"\0" * 16) -> Any:
    proto = model([node("Add", ["x", "w"], ["y"])], {"x": [4]}, ["y"], {"w": array(4)})
    tensor = proto.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend(dims)
    tensor.raw_data = data
    return proto


@pytest.mark.parametrize("dims", [[2**40], [2**31, 2**31, 2**31], [-1], [4, -4], [5], [2**62, 4]])
def test_sizes_that_the_data_does_not_back_are_an_input_error(dims: list[int]) -> None:
    with pytest.raises(InputError, match="tensor") as error:
        load(claiming(dims))
    assert "'w'" in (error.value.where or "")


def test_typed_fields_of_another_length_are_an_input_error() -> None:
    proto = claiming([4])
    proto.graph.initializer[0].ClearField("raw_data")
    proto.graph.initializer[0].float_data.extend([1.0, 2.0])
    with pytest.raises(InputError, match="should have 4 elements and has 2"):
        load(proto)


def test_nodes_in_a_circle_are_an_input_error() -> None:
    proto = model([node("Add", ["x", "b"], ["a"], name="one"), node("Relu", ["a"], ["b"])], {"x": [4]}, ["b"])
    with pytest.raises(InputError, match="wait for each other in a circle") as error:
        load(proto)
    assert "one" in (error.value.where or "")


def test_nodes_in_a_wrong_order_are_sorted() -> None:
    proto = model([node("Relu", ["a"], ["y"]), node("Neg", ["x"], ["a"])], {"x": [4]}, ["y"])
    assert [item.op.name for item in load(proto).nodes] == ["neg", "relu"]


def test_names_without_or_with_two_producers_are_input_errors() -> None:
    with pytest.raises(InputError, match="'q' is read and nothing computes it"):
        load(model([node("Add", ["x", "q"], ["y"])], {"x": [4]}, ["y"]))
    with pytest.raises(InputError, match="'y' is computed twice"):
        load(model([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])], {"x": [4]}, ["y"]))
    with pytest.raises(InputError, match="nothing computes the output 'z'"):
        load(model([node("Relu", ["x"], ["y"])], {"x": [4]}, ["z"]))


BOMBS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "constant": ([node("ConstantOfShape", ["s"], ["y"])], {"s": np.asarray(WIDE, INT)}),
    "expand": ([node("Expand", ["c", "s"], ["y"])], {"s": np.asarray(WIDE, INT), "c": array(1, 1)}),
    "tile": ([node("Tile", ["c", "s"], ["y"])], {"s": np.asarray(WIDE, INT), "c": array(1, 1)}),
    "range": ([node("Range", ["a", "b", "c"], ["y"])], {"a": INT(0), "b": INT(2**62), "c": INT(1)}),
    "pad": ([node("Pad", ["c", "s"], ["y"])], {"s": np.asarray([0, 2**60], INT), "c": array(1)}),
    "doubling": (
        [node("Concat", ["c" if i == 0 else f"c{i}"] * 2, [f"c{i + 1}" if i < 59 else "y"], axis=0) for i in range(60)],
        {"c": array(1)},
    ),
    "many": (
        [node("ConstantOfShape", ["s"], [f"c{i}"]) for i in range(100)]
        + [node("Sum", [f"c{i}" for i in range(100)], ["y"])],
        {"s": np.asarray([2**22], INT)},
    ),
    "resize": ([node("Resize", ["c", "", "", "s"], ["y"])], {"s": np.asarray([1, 1, HUGE, HUGE], INT), "c": array(1, 1, 2, 2)}),
    "eye": ([node("Expand", ["c", "s"], ["e"]), node("EyeLike", ["e"], ["y"])], {"s": np.asarray(WIDE, INT), "c": array(1, 1)}),
    "one-hot": (
        [node("OneHot", ["i", "d", "v"], ["y"])],
        {"i": np.zeros((1000,), INT), "d": INT(2**40), "v": array(2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_ask_for_huge_constants_are_refused(name: str) -> None:
    nodes, constants = BOMBS[name]
    with pytest.raises(EdgekitError):
        load(model([*nodes, node("Relu", ["x"], ["unused"])], {"x": [4]}, ["y"], constants))


def test_bodies_inside_of_each_other_end() -> None:
    """2^20 calls from 20 functions that call the next one twice would take hours."""
    functions = [
        helper.make_function(
            "f", f"f{i}", ["a"], ["b"],
            [node(f"f{i + 1}", ["a"], ["m"], domain="f"), node(f"f{i + 1}", ["m"], ["b"], domain="f")],
            [helper.make_opsetid("f", 1)],
        )
        for i in range(20)
    ]  # fmt: skip
    functions.append(
        helper.make_function("f", "f20", ["a"], ["b"], [node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)])
    )
    proto = model([node("f0", ["x"], ["y"], domain="f")], {"x": [4]}, ["y"], functions=functions, domains=[("f", 1)])
    with pytest.raises(Unsupported):
        load(proto)


# ------------------------------------------------------------------ external data


def external(folder: Path, location: str, **entries: str) -> Path:
    proto = model([node("Add", ["x", "w"], ["y"])], {"x": [4]}, ["y"], {"w": array(4)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_is_read_from_the_models_folder(tmp_path: Path) -> None:
    proto = model([node("Add", ["x", "w"], ["y"])], {"x": [4]}, ["y"], {"w": array(4)})
    path = tmp_path / "net.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="net.bin", size_threshold=0)
    graph = ek.load(path)
    np.testing.assert_array_equal(graph.state["w"].tensor.detach().numpy(), array(4))


def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 16)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    for location in (
        "../secret",
        str(tmp_path / "secret"),
        "a/../../secret",
        "..\\secret",
        "link",
        "up/secret",
        "",
        "C:secret",
        "a\0b",
    ):
        with pytest.raises(InputError, match="external data"):
            ek.load(external(folder, location))


def test_external_data_that_is_no_plain_file_or_too_short_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "data").write_bytes(b"\0" * 16)
    for location in ("pipe", "absent", "."):
        with pytest.raises(InputError, match=r"there is no file|cannot read|not in the model"):
            ek.load(external(tmp_path, location))
    for entries in ({"offset": "4"}, {"offset": "-4"}, {"length": "8"}, {"offset": "9" * 30}, {"length": "x"}):
        with pytest.raises(InputError, match=r"ends at byte|of external data"):
            ek.load(external(tmp_path, "data", **entries))


def test_texts_and_sparse_tensors_are_refused() -> None:
    proto = model([node("Identity", ["t"], ["y"])], {"x": [4]}, ["y"])
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(["a"], dtype=object), "t"))
    with pytest.raises(Unsupported, match="a tensor of string"):
        load(proto)


def test_a_folder_or_an_unreadable_path_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(EdgekitError):
        ek.load(tmp_path / "net.onnx")
    save(model([node("Relu", ["x"], ["y"])], {"x": [4]}, ["y"]), tmp_path, "good.onnx")
    with pytest.raises(InputError, match="there is no"):
        ek.load(tmp_path / "god.onnx")
