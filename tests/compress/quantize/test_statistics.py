"""What calibration sees of every value."""

from __future__ import annotations

import pytest
import torch

from edgekit.compress.quantize.statistics import BINS, Statistics, collect, require_finite
from edgekit.errors import InputError
from edgekit.ir import Where
from edgekit.ir.text import parse
from tests.compress.quantize.prepared import quantized

TEXT = "graph g(%x: float32[N,4], %i: int64[N,4])\n%y = exp(%x)\n%z = neg(%y)\n%k = add(%i, %i)\nreturn %z, %k"


def test_ranges_are_those_of_all_batches() -> None:
    graph = parse(TEXT)
    batches = [[torch.randn(5, 4), torch.ones(5, 4, dtype=torch.long)] for _ in range(3)]
    found = collect(graph, batches, histograms=False)
    everything = torch.cat([b[0] for b in batches])
    for value, data in (
        (graph.inputs[0], everything),
        (graph.value("y"), everything.exp()),
        (graph.value("z"), -everything.exp()),
    ):
        assert (found[id(value)].low, found[id(value)].high) == pytest.approx((float(data.min()), float(data.max())))
    assert id(graph.inputs[1]) not in found and id(graph.value("k")) not in found


def test_histograms_count_every_element() -> None:
    graph = parse(TEXT)
    batches = [[torch.randn(50, 4), torch.ones(50, 4, dtype=torch.long)] for _ in range(2)]
    seen = collect(graph, batches, histograms=True)[id(graph.inputs[0])]
    assert float(seen.histogram.sum()) == 400
    mean = float((seen.histogram * seen.centres()).sum() / 400)
    assert mean == pytest.approx(float(torch.cat([b[0] for b in batches]).mean()), abs=(seen.high - seen.low) / BINS)


def test_merging_keeps_counts_and_places() -> None:
    a, b = Statistics(0.0, 1.0), Statistics(-3.0, 0.5)
    a.histogram[BINS // 2] = 7
    b.histogram[0] = 2
    joint = a.merge(b)
    assert (joint.low, joint.high) == (-3.0, 1.0) and float(joint.histogram.sum()) == 9
    at = joint.centres()
    assert float(at[joint.histogram == 7]) == pytest.approx(0.5, abs=4 / BINS)
    assert float(at[joint.histogram == 2]) == pytest.approx(-3.0, abs=4 / BINS)


def test_nan_names_the_first_value_where_it_happens_and_its_place() -> None:
    graph = parse("graph g(%x: float32[N,4])\n%y = log(%x)\n%z = relu(%y)\nreturn %z")
    graph.nodes[0].where = (Where("head.log", "net.py", 12, "forward"),)
    with pytest.raises(InputError, match="the value 'y' becomes NaN on the calibration data") as error:
        collect(graph, [[torch.full((2, 4), -1.0)]], histograms=False)
    assert error.value.where == "head.log (net.py:12, in forward)" and error.value.hint is not None


def test_infinity_is_refused_only_where_integers_should_hold_it() -> None:
    graph = parse("graph g(%x: float32[N,4])\n%y = log(%x)\nreturn %y")
    found = collect(graph, [[torch.zeros(2, 4)]], histograms=True)
    require_finite([graph.inputs[0]], found)
    with pytest.raises(InputError, match="the value 'y' becomes infinite"):
        require_finite(graph.values(), found)


def test_a_float_mask_of_minus_infinity_does_not_stop_an_integer_network() -> None:
    after, _ = quantized(
        """
        graph g(%x: float32[N,4,6], %keep: bool[N,4,4])
          @w: float32[6,6] parameter
          @blocked: float32[] = -inf
          %q = linear(%x, @w)
          %s = matmul(%q, %x, transpose_b=True)
          %m = where(%keep, %s, @blocked)
          %p = softmax(%m)
          %y = matmul(%p, %x)
          return %y
        """,
        batches=[[torch.randn(8, 4, 6), torch.eye(4).bool().expand(8, 4, 4)]],
    )
    assert after.value("m").quant is None and after.value("q").quant is not None
