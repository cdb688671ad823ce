"""Samples are stacked first everywhere; models with other batch axes, a fixed batch or inputs without batch are fed rightly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.ir import Graph
from edgekit.ir.text import parse
from edgekit.metrics import sqnr_db
from edgekit.stages.feeding import count_of, fed, first, fixed_batch, run, sample_shape, stacking
from edgekit.stages.verify import run_graph


def graph(header: str, body: str = "%y = relu(%x)\nreturn %y") -> Graph:
    return parse(f"graph g({header})\n{body}")


@pytest.mark.parametrize(
    ("header", "places", "shapes", "fixed"),
    [
        ("%x: float32[N,3,4]", [(0, 1)], [(3, 4)], None),
        ("%x: float32[5,N,4]", [(1, 1)], [(5, 4)], None),
        ("%x: float32[4*N,3]", [(0, 4)], [(3,)], None),
        ("%x: float32[2,3]", [(0, 1)], [(3,)], 2),
        ("%x: float32[2,3], %m: float32[2,7]", [(0, 1), (0, 1)], [(3,), (7,)], 2),
        ("%x: float32[N,3], %m: float32[3,3]", [(0, 1), (None, 1)], [(3,), (3, 3)], None),
        ("%x: float32[2,3], %m: float32[]", [(None, 1), (None, 1)], [(2, 3), ()], None),
    ],
)
def test_where_samples_stand(
    header: str, places: list[tuple[int | None, int]], shapes: list[tuple[int, ...]], fixed: int | None
) -> None:
    made = graph(header)
    assert [stacking(v, made) for v in made.inputs] == places
    assert [sample_shape(v, made) for v in made.inputs] == shapes
    assert fixed_batch(made) == fixed


def test_a_batch_in_the_middle_is_moved_there_and_back() -> None:
    made = graph("%x: float32[5,N,4]", "%y = permute(%x, dims=(2, 0, 1))\nreturn %y")
    x = np.random.default_rng(0).standard_normal((7, 5, 4)).astype(np.float32)
    assert [a[0].shape for a in fed([x], made, 3)] == [(5, 3, 4), (5, 3, 4), (5, 1, 4)]
    (y,) = run_graph(made, [x]).arrays
    np.testing.assert_array_equal(y, x.transpose(0, 2, 1))


def test_a_fixed_batch_is_filled_and_the_rest_cut_off() -> None:
    made = graph("%x: float32[4,3]")
    x = np.arange(18, dtype=np.float32).reshape(6, 3)
    parts = [a[0] for a in fed([x], made, 32)]
    assert [p.shape for p in parts] == [(4, 3), (4, 3)]
    np.testing.assert_array_equal(parts[1], x[[4, 5, 5, 5]])
    (y,) = run_graph(made, [x]).arrays
    np.testing.assert_array_equal(y, x)


def test_an_input_without_batch_is_fed_sample_by_sample() -> None:
    made = graph("%x: float32[N,3], %m: float32[3,3]", "%y = matmul(%x, %m)\nreturn %y")
    x, m = np.random.default_rng(0).standard_normal((2, 5, 3, 3)).astype(np.float32)
    x, m = x[:, 0], np.random.default_rng(1).standard_normal((5, 3, 3)).astype(np.float32)
    (y,) = run_graph(made, [x, m]).arrays
    np.testing.assert_allclose(y, np.einsum("si,sij->sj", x, m), rtol=1e-5, atol=1e-6)


def test_rows_of_one_sample_stay_together() -> None:
    made = graph("%x: float32[4*N,3]")
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    assert count_of([x], made) == 5
    assert [a[0].shape[0] for a in fed([x], made, 2)] == [8, 8, 4]
    assert first([x], made, 2)[0].shape == (8, 3)


def test_an_output_without_batch_stands_once() -> None:
    made = graph("%x: float32[N,3]", "@c: float32[2] = [1, 2]\n%y = relu(%x)\nreturn %y, @c")
    x = np.ones((70, 3), np.float32)
    outputs = run_graph(made, [x])
    assert [a.shape for a in outputs.arrays] == [(70, 3), (2,)] and outputs.joined().shape == (212,)


def test_the_model_that_runs_need_not_be_the_graph() -> None:
    made = graph("%x: float32[N,3]")
    outputs = run(lambda arrays: [arrays[0] * 2], [np.ones((5, 3), np.float32)], made, 2)
    np.testing.assert_array_equal(outputs.arrays[0], np.full((5, 3), 2.0))


class TimeFirst(nn.Module):
    """Takes (time, batch, features), as torch's recurrent layers do by default."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0])


def test_a_model_with_time_first_is_calibrated_with_stacked_samples(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    model = TimeFirst().eval()
    graph = ek.load(model, torch.zeros(10, 1, 6), batch_axes={"x": 1})
    samples = np.random.default_rng(0).standard_normal((24, 10, 6)).astype(np.float32)
    for build in ek.build(graph, ["tflite-fp32", "tflite-int8", "onnx-int8"], calibration=samples, output=tmp_path):
        x = samples[:5].transpose(1, 0, 2)
        with torch.no_grad():
            wanted = model(torch.from_numpy(np.ascontiguousarray(x))).numpy()
        got = ek.run(build.artifact, x)
        assert got.shape == wanted.shape and sqnr_db(wanted, got) >= (100.0 if "fp32" in build.target else 30.0)


def test_a_model_of_fixed_batch_is_calibrated_with_samples_too(tmp_path) -> None:  # type: ignore[no-untyped-def]
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.reshape(2, 6)) + torch.arange(2.0).reshape(2, 1)

    torch.manual_seed(0)
    model = Pairs().eval()
    samples = np.random.default_rng(0).standard_normal((25, 6)).astype(np.float32)
    for build in ek.build(
        model, ["tflite-int8", "onnx-int8"], example_inputs=torch.zeros(2, 6), calibration=samples, output=tmp_path
    ):
        with torch.no_grad():
            wanted = model(torch.from_numpy(samples[:2])).numpy()
        assert sqnr_db(wanted, ek.run(build.artifact, samples[:2])) >= 25.0
