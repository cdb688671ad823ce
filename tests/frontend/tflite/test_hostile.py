"""A damaged file is an error in under five seconds and a gigabyte: never a crash, a hang or an exception of ours."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.formats.tflite.model import Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.formats.tflite.write import write
from edgekit.frontend.source import load
from tests.frontend.tflite.cases import CASES
from tests.frontend.tflite.files import File
from tests.frontend.tflite.mutations import loop, mutated
from tests.frontend.tflite.test_quantized import small

SECONDS, BYTES = 5.0, 1 << 30

#: Files to damage: shapes that are computed, weights, integers, states, parts.
NAMES = (
    *("conv_of_parts", "one_hot", "positions_of_a_length", "bidirectional_lstm", "local_response_normalization"),
    *("an_image_flattened_into_a_product", "a_shape_computed_while_running", "lstm", "split_of_given_sizes", "depth_to_space"),
    *("strided_slice_with_masks", "resize_bilinear_legacy_up", "transpose_conv_3_stride_2_same", "mirror_symmetric"),
    *("average_pool_2d_same_2_stride_1", "tiled", "batch_matmul_of_two", "stacked_and_unstacked", "broadcast"),
)


def sources() -> list[bytes]:
    made = []
    for name in NAMES:
        file = File()
        made.append(file.content(*CASES[name](file)))
    return [*made, small(File())]


def outcome(content: bytes, path: Path) -> str:
    """What became of a file: loaded, or the kind of error."""
    path.write_bytes(content)
    try:
        graph = load(path)
        graph.verify()
    except EdgekitError as error:
        assert error.where and error.hint, error
        return type(error).__name__
    return "loaded"


def run(seeds: range, folder: Path) -> dict[str, int]:
    """Outcomes of mutations, each within its time; all together within their memory."""
    files = [(content, read(content)) for content in sources()]
    counts: dict[str, int] = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        content, model = files[seed // 2 % len(files)]
        started = time.process_time()
        try:
            found = outcome(mutated(content, model, seed), folder / "net.tflite")
        except Exception as error:
            raise AssertionError(f"mutation {seed}") from error
        assert time.process_time() - started < SECONDS, f"mutation {seed} took {time.process_time() - started:.1f} s"
        counts[found] = counts.get(found, 0) + 1
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES
    return counts


def test_150_damaged_files_are_errors(tmp_path: Path) -> None:
    counts = run(range(150), tmp_path)
    assert counts["InputError"] > 50 and sum(counts.values()) == 150


@pytest.mark.slow
def test_2000_damaged_files_are_errors_in_a_process_that_survives(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.frontend.tflite.test_hostile", "150", "2150", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_subgraph_that_calls_itself_is_refused(tmp_path: Path) -> None:
    tensors = (Tensor("x", (1, 4), TensorType.FLOAT32), Tensor("y", (1, 4), TensorType.FLOAT32))
    path = tmp_path / "net.tflite"
    path.write_bytes(write(loop(tensors, (0,), (1,)), names="all"))
    with pytest.raises(Unsupported, match="the part of the model that it stands in"):
        load(path)


@pytest.mark.parametrize(
    ("shape", "name"), [((1, 2**31 - 1, 2**31 - 1, 3), "RELU"), ((2**31 - 1, 4), "RELU"), ((1, 65536, 65536), "SOFTMAX")]
)
def test_a_tensor_that_no_runtime_holds_takes_no_memory(shape: tuple[int, ...], name: str, tmp_path: Path) -> None:
    file = File()
    path = tmp_path / "net.tflite"
    path.write_bytes(file.content(file.op(name, [file.input(*shape)], shape)))
    with pytest.raises((InputError, Unsupported)):
        load(path)


def test_a_tensor_that_is_read_before_it_is_computed_is_damage(tmp_path: Path) -> None:
    file = File()
    x = file.input(1, 4)
    later = file.result((1, 4))
    y = file.op("ADD", [x, later], (1, 4), table="AddOptions")
    path = tmp_path / "net.tflite"
    path.write_bytes(file.content(y))
    with pytest.raises(InputError, match="is read before any operator gives it"):
        load(path)


def test_what_native_kernels_would_crash_on_never_reaches_them(tmp_path: Path) -> None:
    file = File()
    path = tmp_path / "net.tflite"
    shape, w, x, b = file.ints(1, 8, 8, 5), file.weight(5, 3, 3, 3), file.input(1, 4, 4, 3), file.weight(5)
    options = {"stride_h": 2, "stride_w": 65535}
    y = file.op("TRANSPOSE_CONV", [shape, w, x, b], (1, 8, 8, 5), table="TransposeConvOptions", version=3, **options)
    path.write_bytes(file.content(y))
    with pytest.raises(InputError, match="strides"):
        load(path)
    file = File()
    y = file.op("FULLY_CONNECTED", [file.input(1, 4), file.weight(2, 4), file.weight(7)], (1, 2), table="FullyConnectedOptions")
    path.write_bytes(file.content(y))
    with pytest.raises(InputError, match=r"a bias \[7\] beside a weight \[2, 4\]"):
        load(path)


if __name__ == "__main__":
    print(run(range(int(sys.argv[1]), int(sys.argv[2])), Path(sys.argv[3])))
