"""A damaged or hostile .pt2 file is an error in under five seconds and a gigabyte, and nothing in it is ever run."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.errors import EdgekitError, InputError
from edgekit.frontend.source import load
from edgekit.frontend.torch.archive_text import is_expression
from tests.frontend.hostile_programs import archive_of, good, mutated, parts_of

torch.set_num_threads(1)

SECONDS, BYTES = 5.0, 1 << 30


def outcome(content: bytes, path: Path) -> str:
    """What became of a file: loaded, or the kind of error."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(path).verify()
    except EdgekitError as error:
        assert error.where and error.hint, error
        return type(error).__name__
    return "loaded"


def run(seeds: range, folder: Path) -> dict[str, int]:
    """Outcomes of mutations, each within its time; all together within their memory."""
    files, counts = good(), dict.fromkeys(("loaded", "InputError", "Unsupported"), 0)
    assert {outcome(content, folder / "net.pt2") for content in files} == {"loaded"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        started = time.process_time()
        try:
            counts[outcome(mutated(files[seed // 4 % len(files)], seed), folder / "net.pt2")] += 1
        except Exception as error:
            raise AssertionError(f"mutation {seed}") from error
        assert time.process_time() - started < SECONDS, f"mutation {seed} took {time.process_time() - started:.1f} s"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES
    return counts


def test_40_damaged_programs_are_errors(tmp_path: Path) -> None:
    counts = run(range(40), tmp_path)
    assert counts["InputError"] > 20 and sum(counts.values()) == 40


@pytest.mark.slow
def test_2000_damaged_programs_are_errors_in_processes_that_survive(tmp_path: Path) -> None:
    def process(first: int) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / str(first)
        folder.mkdir()
        command = [sys.executable, "-m", "tests.frontend.test_hostile_programs", str(first), str(first + 1000), str(folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=Path(__file__).parents[2])

    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(process, (40, 1040)):
            assert done.returncode == 0, done.stderr[-2000:]


def with_text(content: bytes, change: Any) -> bytes:
    """The file with its program's JSON changed in place."""
    parts = parts_of(content)
    name = next(name for name in parts if "/models/" in name)
    document = json.loads(parts[name])
    change(document)
    return archive_of({**parts, name: json.dumps(document).encode()})


@pytest.mark.parametrize(
    "code",
    [
        "__import__('pathlib').Path({path!r}).touch()",
        "Symbol('s0').__class__.__base__.__subclasses__()",
        "(lambda: __import__('os').system('touch ' + {path!r}))()",
        "Integer(__import__('pathlib').Path({path!r}).touch())",
        "S('__import__(chr(111)+chr(115)).abort()')",
        "Symbol('x', cls=print)",
        "Integer('__import__')",
        "Pow(Integer(9), Pow(Integer(9), Integer(99)))",
        "9**9**9**9",
        "[].__class__",
        "open('/etc/passwd')",
    ],
)
def test_an_expression_that_is_code_is_not_evaluated(code: str, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    text = code.format(path=str(trace))

    def change(document: Any) -> None:
        sizes = document["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = text

    path = tmp_path / "net.pt2"
    path.write_bytes(with_text(good()[0], change))
    with pytest.raises(InputError, match="could run code"):
        load(path)
    assert not trace.exists() and not is_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(-1))",
        "FloorDiv(Add(Symbol('s0', integer=True), Integer(1)), Integer(2))",
        "Pow(Symbol('s0', integer=True), Integer(2))",
        "2*s0 + 1",
        "Eq(Mod(s0, 4), 0)",
        "Rational(1, 2)",
        "Float('0.5', precision=53)",
    ],
)
def test_expressions_of_sizes_are_let_through(text: str) -> None:
    assert is_expression(text)


def test_python_about_the_examples_is_not_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "ran", tmp_path / "net.pt2"

    def change(document: Any) -> None:
        document["guards_code"] = [f"__import__('pathlib').Path({str(trace)!r}).touch() or True"]

    path.write_bytes(with_text(good()[0], change))
    graph = load(path)
    graph.module()(torch.randn(2, 3, 8, 8))
    assert not trace.exists()


@pytest.mark.parametrize(
    "target", ["torch.hub.load", "torch.load", "torch.ops.aten.from_file.default", "torch.ops.load_library"]
)
def test_a_function_that_does_more_than_compute_is_not_looked_up(target: str, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][1]["target"] = target

    path = tmp_path / "net.pt2"
    path.write_bytes(with_text(good()[0], change))
    with pytest.raises(InputError, match="could run code"):
        load(path)


def test_parts_that_unpack_to_far_more_than_the_file_are_not_unpacked(tmp_path: Path) -> None:
    parts = parts_of(good()[0])
    weight = next(name for name in parts if name.endswith("weight_0"))
    path = tmp_path / "net.pt2"
    path.write_bytes(archive_of({**parts, weight: bytes(300 << 20)}, zipfile.ZIP_DEFLATED))
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="far larger than the file"):
        load(path)
    assert time.process_time() - started < 1
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 64 << 10


def test_pickles_under_names_in_capitals_are_seen(tmp_path: Path) -> None:
    parts = parts_of(good()[0])
    root = next(iter(parts)).partition("/")[0]
    path = tmp_path / "net.pt2"
    path.write_bytes(archive_of({**parts, f"{root}/data/constants/OPAQUE_OBJ_0": b"cos\nsystem\n(S'true'\ntR."}))
    with pytest.raises(InputError, match="could run code"):
        load(path)


def test_something_behind_the_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(good()[0] + b"more")
    with pytest.raises(InputError):
        load(path)


if __name__ == "__main__":
    print(run(range(int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3])))
