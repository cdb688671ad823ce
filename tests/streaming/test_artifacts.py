"""Streaming artifacts in their runtimes: every call gives what the model on windows gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit import InputError, UsageError
from edgekit.export.onnx import export as export_onnx
from edgekit.export.tflite.exporter import export as export_tflite
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.stream_record import decode
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.runtime.artifact import Artifact, to_source
from edgekit.runtime.stream import Stream
from edgekit.stream_settings import Streaming
from edgekit.streaming import to_frames
from tests import tflite_runtimes
from tests.export.tflite.running import op_counts
from tests.streaming.networks import CASES, calls_of, compared, quantized_graph, window_graph, windows

#: The kinds of artifacts, and those networks whose streams show something that others do not.
KINDS = ("tflite", "tflite with variables", "onnx")
SHOWN = ("residual blocks", "a keyword network", "lstm, last step", "gru, all steps", "pools")


def artifacts(graph: Graph, kind: str, time: int) -> tuple[bytes, bytes, Graph]:
    """The model on windows, the one on frames, and the latter's graph."""
    frames = to_frames(graph, Streaming(time, state="variables" if "variables" in kind else "io"))
    export = export_onnx if kind == "onnx" else export_tflite
    return export(graph), export(frames), frames


def signal(x: torch.Tensor, frames: Graph, axis: int) -> np.ndarray:
    """A window and zeros behind it, so that it makes up whole calls."""
    assert frames.stream is not None
    behind = list(x.shape)
    behind[axis] = calls_of(frames) * frames.stream.hop - x.shape[axis]
    return torch.cat([x, x.new_zeros(behind)], axis).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("integers", [False, True], ids=["float", "int8"])
def test_a_file_on_frames_gives_what_the_file_on_windows_gives(name: str, kind: str, integers: bool) -> None:
    case = CASES[name]
    offline, file, frames = artifacts(quantized_graph(case) if integers else window_graph(case), kind, case.time)
    x = windows(case, 1)
    wanted = Artifact(offline).run_flat(x.numpy())
    stream = Stream(file)
    for _ in range(2):
        stream.reset()
        rows = stream.run(signal(x, frames, case.time))
        for output, row, theirs in zip(stream.record.outputs, rows, wanted, strict=True):
            calls = list(torch.from_numpy(row)) if output.axis is None else [torch.from_numpy(row)]
            a, b = compared(output, calls, torch.from_numpy(theirs))
            torch.testing.assert_close(a, b, atol=0.0 if integers and kind != "onnx" else 1e-6, rtol=0)


@pytest.mark.parametrize("name", ["a keyword network", "residual blocks"])
def test_tflite_micro_and_an_old_runtime_keep_integer_states_in_variables(name: str) -> None:
    case = CASES[name]
    offline, _, frames = artifacts(quantized_graph(case), "tflite with variables", case.time)
    file = export_tflite(frames, TfliteOptions(micro=True))
    x = windows(case, 1)
    wanted = torch.from_numpy(Artifact(offline).run_flat(x.numpy())[0])
    whole = np.split(signal(x, frames, case.time), calls_of(frames), case.time)
    record = Artifact(file).record
    calls = [[Artifact(file).to_file(record.inputs[0], part)] for part in whole]
    (output,) = decode(read(file).metadata["edgekit.stream/1"]).outputs
    for runtime in (tflite_runtimes.run_2_14, tflite_runtimes.run_micro):
        got = [torch.from_numpy(to_source(record.outputs[0], row)) for row in runtime(file, calls)[0]]
        a, b = compared(output, got, wanted)
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_a_convolutional_stream_has_no_transposes_and_one_join_and_one_cut_for_each_state() -> None:
    case = CASES["a keyword network"]
    counts = op_counts(artifacts(quantized_graph(case), "tflite", case.time)[1])
    assert "TRANSPOSE" not in counts and counts["CONCATENATION"] == counts["SLICE"] == 3


def test_states_are_stored_as_they_came_out() -> None:
    case = CASES["residual blocks"]
    _, file, _ = artifacts(quantized_graph(case), "tflite", case.time)
    main = read(file).main
    for taken, given in zip(main.inputs[1:], main.outputs[1:], strict=True):
        a, b = main.tensors[taken], main.tensors[given]
        assert (a.shape, a.type, a.quantization.scale, a.quantization.zero_point) == (  # type: ignore[union-attr]
            b.shape,
            b.type,
            b.quantization.scale,  # type: ignore[union-attr]
            b.quantization.zero_point,  # type: ignore[union-attr]
        )


def test_a_file_with_variables_comes_back_as_a_graph_with_states(tmp_path: Path) -> None:
    case = CASES["residual blocks"]
    _, file, frames = artifacts(window_graph(case), "tflite with variables", case.time)
    (tmp_path / "net.tflite").write_bytes(file)
    again = load(str(tmp_path / "net.tflite"))
    assert len(again.inputs) == len(frames.inputs) and len(again.outputs) == len(frames.outputs)


def test_onnx_files_keep_no_variables() -> None:
    case = CASES["residual blocks"]
    with pytest.raises(UsageError, match="keeps no states") as caught:
        export_onnx(to_frames(window_graph(case), Streaming(case.time, state="variables")))
    assert 'state = "io"' in str(caught.value.hint)


def test_an_onnx_stream_takes_several_signals_at_once() -> None:
    case = CASES["gru, all steps"]
    offline, file, _ = artifacts(window_graph(case), "onnx", case.time)
    x = windows(case, 3).numpy()
    np.testing.assert_allclose(Stream(file).run(x)[0], Artifact(offline).run(x), atol=1e-6)


def test_a_file_on_windows_is_no_stream() -> None:
    with pytest.raises(InputError, match="takes windows, not a stream"):
        Stream(export_tflite(window_graph(CASES["padding that is cut off"])))


def test_a_signal_shorter_than_a_call_is_refused() -> None:
    case = CASES["a keyword network"]
    _, file, _ = artifacts(window_graph(case), "tflite", case.time)
    with pytest.raises(InputError, match="1 frames, a call takes 2"):
        Stream(file).run(np.zeros((1, 1, 1, 10), np.float32))
    with pytest.raises(InputError, match="has the shape"):
        Stream(file).push(np.zeros((1, 1, 3, 10), np.float32))


def test_a_damaged_record_is_an_error_in_the_users_terms() -> None:
    for record in (b"{", b'{"hop": 0, "window": 1, "inputs": {}, "outputs": [], "states": [], "kept": "io"}', b"[]"):
        with pytest.raises(InputError, match="record of its stream"):
            decode(record)
