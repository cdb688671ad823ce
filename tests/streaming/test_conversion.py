"""A graph on frames computes what the graph on windows computes, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Unsupported, UsageError
from edgekit.compress.quantize.policy import TFLM
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.frontend.source import load
from edgekit.ir import Graph, Simulator
from edgekit.ir.file import load as load_ekg
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from edgekit.runtime.stream import Stream
from edgekit.stream_settings import Streaming
from edgekit.streaming import to_frames
from tests.streaming.networks import (
    CASES,
    Case,
    Recurrent,
    Residual,
    Unpadded,
    equal_parts,
    quantized_graph,
    stepped,
    window_graph,
    windows,
)


@pytest.mark.parametrize(("name", "hop"), [*((name, None) for name in CASES), ("residual blocks", 4), ("gru, all steps", 4)])
def test_a_stream_of_floats_is_the_offline_run_frame_by_frame(name: str, hop: int | None) -> None:
    case = CASES[name]
    graph, x = window_graph(case), windows(case)
    frames = to_frames(graph, Streaming(case.time, hop))
    with torch.no_grad():
        offline = graph.module().eval().run([x])
        for mine, theirs in equal_parts(frames, x, offline, frames.module().eval().run):
            torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_stream_of_integers_is_the_offline_run_in_every_bit(name: str) -> None:
    case = CASES[name]
    graph = quantized_graph(case)
    frames, x = to_frames(graph, Streaming(case.time)), windows(case)
    for mine, theirs in equal_parts(frames, x, Simulator(graph).run([x]), Simulator(frames).run):
        if any(type(node.op).__name__ in ("Lstm", "Gru", "Rnn") for node in graph.nodes):
            torch.testing.assert_close(mine, theirs, atol=1, rtol=0)  # floats between integers, summed in another order
        else:
            assert torch.equal(mine, theirs)


def test_an_integer_lstm_streams_in_every_bit() -> None:
    case = CASES["lstm, last step"]
    options = PostTraining(observer="min_max", bias_correction=False)
    graph, _ = quantize(window_graph(case), [[windows(case, 4)]], policy=TFLM, options=options)
    frames, x = to_frames(graph, Streaming(case.time)), windows(case)
    assert frames.stream is not None and len(frames.stream.states) == 5  # two layers with two states, and the convolution's
    for mine, theirs in equal_parts(frames, x, Simulator(graph).run([x]), Simulator(frames).run):
        assert torch.equal(mine, theirs)
    file = export(to_frames(graph, Streaming(case.time, state="variables")), TfliteOptions(micro=True))
    rows = Stream(file).run(x[:1].numpy())[0]
    (ready,) = [output.ready for output in frames.stream.outputs]
    np.testing.assert_array_equal(rows[ready - 1], Artifact(export(graph)).run_flat(x[:1].numpy())[0])


def test_without_padding_every_window_of_a_long_stream_is_met_as_it_slides() -> None:
    case = CASES["a keyword network without padding"]
    graph = window_graph(case)
    frames = to_frames(graph, Streaming(case.time))
    x = torch.randn(1, 1, 40, 10)
    with torch.no_grad():
        calls = stepped(frames, x, 20, frames.module().eval().run)
        for call in range(13, 21):
            offline = graph.module().eval().run([x[:, :, 2 * call - 26 : 2 * call]])[0]
            torch.testing.assert_close(calls[call - 1][0], offline, atol=1e-6, rtol=1e-6)


def test_a_call_costs_its_own_steps_alone() -> None:
    graph = window_graph(CASES["residual blocks"])
    assert to_frames(graph, Streaming(-1)).macs * 24 == graph.macs


def test_the_smallest_hop_is_that_of_the_strides_and_another_is_a_multiple() -> None:
    graph = window_graph(CASES["lstm, last step"])
    assert to_frames(graph, Streaming(2)).stream.hop == 2  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="multiples of 2") as caught:
        to_frames(graph, Streaming(2, hop=3))
    assert "hop = 6" in str(caught.value.hint)


def test_an_int8_state_has_one_scale_on_its_way_in_and_out() -> None:
    case = CASES["residual blocks"]
    graph = quantized_graph(case)
    frames = to_frames(graph, Streaming(case.time))
    assert frames.stream is not None and len(frames.stream.states) == 3
    values = {value.name: value for value in frames.values()}
    for state in frames.stream.states:
        assert values[state.input].quant == values[state.output].quant is not None


def test_padding_on_both_sides_is_refused_until_outputs_may_lag_behind() -> None:
    class Same(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(4, 8, 5, padding=2), nn.Conv1d(8, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.relu(self.a(x)))

    case = Case(Same, (4, 24))
    graph, x = window_graph(case), windows(case)
    with pytest.raises(Unsupported, match="reads 3 frames of the future") as caught:
        to_frames(graph, Streaming(-1))
    assert "look_ahead = 3" in str(caught.value.hint)
    frames = to_frames(graph, Streaming(-1, look_ahead=3))
    assert frames.stream is not None and frames.stream.outputs[0].offset == 3
    with torch.no_grad():
        offline = graph.module().eval().run([x])[0]
        calls = torch.cat([call[0] for call in stepped(frames, x, 24, frames.module().eval().run)], 2)
    warm = frames.stream.outputs[0].warm
    torch.testing.assert_close(calls[:, :, 3 + warm :], offline[:, :, warm:21], atol=1e-6, rtol=1e-6)


class Then(nn.Module):
    """A convolution and what a stream may not be able to do."""

    def __init__(self, then: Callable[[torch.Tensor], torch.Tensor], *layers: nn.Module, padding: int = 0) -> None:
        super().__init__()
        self.conv, self.then, self.layers = nn.Conv1d(4, 8, 3, padding=padding), then, nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        for layer in self.layers:
            y = layer(y)
        return self.then(y)


class Bidirectional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 8, bidirectional=True, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.transpose(1, 2))[0]


class AfterUnpadded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv1d(4, 8, 3), nn.GRU(8, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.conv(x).transpose(1, 2))[0]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "bidirectional": (Bidirectional, "reads the window from its end", "bidirectional=False"),
    "recurrent after no padding": (AfterUnpadded, "would begin 2 steps before", "pad the convolutions"),
    "mean of padding": (lambda: Then(lambda y: y.mean(2), padding=1), "begins or ends in padding", "on the left alone"),
    "instance norm": (lambda: Then(torch.relu, nn.InstanceNorm1d(8)), "normalises over the whole window", "batch norm"),
    "attention": (
        lambda: Then(lambda y: torch.softmax(y.transpose(1, 2) @ y, 2)),
        "every time step with every other",
        "causal",
    ),
    "reversed": (lambda: Then(lambda y: y.flip(2)), "turns time around", "the past alone"),
    "positions": (
        lambda: Then(lambda y: y + torch.linspace(0, 1, 22)),
        "a constant for each position",
        "no absolute positions",
    ),
    "cumulative sum": (lambda: Then(lambda y: y.cumsum(2)), "sums up all time", "recurrent"),
    "reflected": (lambda: Then(lambda y: F.pad(y, (2, 0), mode="reflect")), "pads time by reflect", "zeros on the left"),
    "upsampled": (lambda: Then(torch.relu, nn.ConvTranspose1d(8, 8, 2, 2)), "writes to steps that have been given", "features"),
    "pool with padding": (lambda: Then(lambda y: F.max_pool1d(y, 3, 1, 1)), "pads time on both sides", "padding=0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_stream_is_refused_with_its_place_and_a_way_out(name: str) -> None:
    make, what, hint = REFUSED[name]
    with pytest.raises(Unsupported, match=what) as caught:
        to_frames(window_graph(Case(make, (4, 24))), Streaming(-1))
    assert "test_conversion.py" in str(caught.value.where) and hint in str(caught.value.hint)


def test_all_refusals_are_told_together() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.InstanceNorm1d(4), nn.Conv1d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.a(x), self.b(x).flip(2)

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.InstanceNorm1d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.max_pool1d(self.norm(x).cumsum(2), 3, 1, 1)

    for make, count in ((Two, 2), (Chain, 3)):  # side by side, and one behind the other
        with pytest.raises(Unsupported, match=f"{count} things in this model have no stream"):
            to_frames(window_graph(Case(make, (4, 24))), Streaming(-1))


@pytest.mark.parametrize(("time", "what"), [(0, "is not time"), ({"y": 1}, "which is no input"), (3, "is not time")])
def test_a_time_axis_that_is_none_is_refused(time: int | dict[str, int], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        to_frames(window_graph(CASES["residual blocks"]), Streaming(time))


def test_an_input_without_time_comes_whole_with_every_call() -> None:
    class Conditioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gain = nn.Conv1d(4, 8, 3), nn.Linear(2, 8)

        def forward(self, x: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
            return self.conv(x) * self.gain(speaker).unsqueeze(2)

    module = Conditioned().eval()
    graph, _ = run_passes(load(module, (torch.randn(1, 4, 12), torch.randn(1, 2))), EXACT)
    frames = to_frames(graph, Streaming({"x": 2}))
    x, speaker = torch.randn(1, 4, 12), torch.randn(1, 2)
    held = torch.zeros(1, 4, 2)
    with torch.no_grad():
        wanted = module(x, speaker)
        for t in range(12):
            y, held = frames.module().eval().run([x[:, :, t : t + 1], speaker, held])
            if t >= 2:
                torch.testing.assert_close(y, wanted[:, :, t - 2 : t - 1], atol=1e-6, rtol=1e-6)


def test_a_graph_on_frames_is_saved_with_its_record(tmp_path: Path) -> None:
    frames = to_frames(window_graph(Case(Residual, (4, 24))), Streaming(-1))
    frames.save(tmp_path / "net.ekg")
    again: Graph = load_ekg(tmp_path / "net.ekg")
    assert again.stream == frames.stream == frames.copy().stream


def test_the_given_graph_is_not_changed() -> None:
    graph = window_graph(Case(lambda: Recurrent("lstm", last=True), (4, 24)))
    before = graph.text()
    to_frames(graph, Streaming(2))
    assert graph.text() == before and graph.stream is None


def test_parameters_keep_their_names_and_tensors() -> None:
    graph = window_graph(Case(Unpadded, (4, 24)))
    frames = to_frames(graph, Streaming(2))
    assert set(frames.state) == {name for name, value in graph.state.items() if value.users}
    assert all(frames.state[name].data is graph.state[name].data for name in frames.state)
