"""Ranges from statistics, against what a search over the raw data finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.compress.quantize import best_observer
from edgekit.compress.quantize.entropy import divergence, entropy
from edgekit.compress.quantize.groups import build
from edgekit.compress.quantize.observers import OBSERVERS, min_max, moving_average, mse, percentile
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.compress.quantize.statistics import BINS, Statistics, collect
from edgekit.errors import UsageError
from edgekit.ir.text import parse
from tests.compress.quantize.prepared import prepared, quantized, sqnr


def statistics(data: torch.Tensor) -> Statistics:
    low, high = float(data.min()), float(data.max())
    return Statistics(low, high, torch.histc(data, BINS, low, high).double())


def samples(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, generator=generator)
    return {
        "normal": normal,
        "rectified": normal.relu(),
        "shifted": normal + 3,
        "heavy tails": normal.sign() * normal.abs() ** 4,
        "one outlier": torch.cat([normal, torch.tensor([60.0])]),
        "negative": -normal.abs() - 0.2,
    }[kind]


KINDS = ["normal", "rectified", "shifted", "heavy tails", "one outlier", "negative"]


@pytest.mark.parametrize("kind", KINDS)
def test_min_max_is_all_that_was_seen(kind: str) -> None:
    data = samples(kind)
    assert min_max(statistics(data)) == (float(data.min()), float(data.max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.99, 0.999, 0.99999, 1.0])
def test_a_percentile_leaves_out_no_more_than_its_share_at_either_end(kind: str, share: float) -> None:
    data = samples(kind)
    seen = statistics(data)
    low, high = percentile(seen, share)
    allowed = (1.0 - share) * len(data)
    assert int((data < low).sum()) <= allowed + 1e-9 and int((data > high).sum()) <= allowed + 1e-9
    # and it is the smallest such range on the histogram's grid
    width = (seen.high - seen.low) / BINS
    wanted_low, wanted_high = np.quantile(data.numpy(), [1.0 - share, share], method="closest_observation")
    assert low >= wanted_low - 2 * width and high <= wanted_high + 2 * width


def true_error(data: torch.Tensor, low: float, high: float) -> float:
    """Mean squared error of really rounding the data to 256 steps of a range."""
    step = (high - low) / 255
    rounded = low + torch.round((data - low) / step).clamp(0, 255) * step
    return float((rounded - data).square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_mse_observer_is_as_good_as_a_search_over_the_data(kind: str) -> None:
    data = samples(kind).double()
    low, high = mse(statistics(data.float()))
    assert low <= 0.0 <= high
    found = true_error(data, low, high)
    low_end, high_end = min(float(data.min()), 0.0), max(float(data.max()), 0.0)
    grid = [0.04 * i for i in range(1, 26)]
    pairs = [(a * low_end, b * high_end) for a in (grid if low_end else [0.0]) for b in (grid if high_end else [0.0])]
    assert found <= 1.05 * min(true_error(data, *pair) for pair in pairs)


def test_a_constant_value_keeps_its_range() -> None:
    nothing = Statistics(0.5, 0.5)
    assert percentile(nothing) == mse(nothing) == (0.5, 0.5)


def test_an_unknown_observer_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown observer 'median'") as error:
        PostTraining(observer="median")
    assert error.value.hint == "choose from min_max, moving_average, percentile, mse, entropy, output_error, auto"


def test_the_moving_average_follows_the_samples_own_ranges() -> None:
    graph = parse("graph g(%x: float32[N,3,4])\n%y = relu(%x)\nreturn %y")
    x = torch.randn(10, 3, 4, generator=torch.Generator().manual_seed(3))
    found = collect(graph, [[x[:4]], [x[4:]]], histograms=False, moving=True)
    low, high = 0.0, 0.0
    for count, sample in enumerate(x.numpy()):
        if count == 0:
            low, high = sample.min(), sample.max()
        low, high = low + 0.01 * (sample.min() - low), high + 0.01 * (sample.max() - high)
    assert moving_average(found[id(graph.inputs[0])]) == pytest.approx((low, high))
    whole = collect(graph, [[x]], histograms=False, moving=True)
    assert moving_average(whole[id(graph.inputs[0])]) == pytest.approx((low, high))


def test_the_moving_average_of_joined_values_covers_both() -> None:
    a, b = Statistics(-4.0, 1.0, moving=(-3.0, 0.5)), Statistics(-2.0, 3.0)
    assert moving_average(a.merge(b)) == (-3.0, 3.0)


def divergence_of(data: np.ndarray, low: float, high: float, bins: int, levels: int) -> float:
    """What TensorRT's slides say in words, with loops: clip, count, merge into levels, spread over what is not empty."""
    edges = np.linspace(data.min(), data.max(), bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    counts = [float(c) for c in np.histogram(data, edges)[0]]
    inside = [i for i in range(bins) if low <= centres[i] <= high]
    p = [counts[i] for i in inside]
    p[0] += sum(counts[: inside[0]])
    p[-1] += sum(counts[inside[-1] + 1 :])
    merged: dict[int, list[int]] = {}
    for i in inside:
        merged.setdefault(min(int((centres[i] - low) / (high - low) * levels), levels - 1), []).append(i)
    q = {}
    for members in merged.values():
        filled = [i for i in members if counts[i]]
        for i in filled:
            q[i] = sum(counts[j] for j in filled) / len(filled)
    floor = 1e-7 * sum(counts[i] for i in inside) / len(inside)
    total_p, total_q = sum(p), sum(q.get(i, 0.0) + floor for i in inside)
    return sum(
        a / total_p * np.log(a / total_p / ((q.get(i, 0.0) + floor) / total_q)) for a, i in zip(p, inside, strict=True) if a
    )


@pytest.mark.parametrize("kind", ["normal", "rectified", "heavy tails", "negative"])
def test_the_divergence_is_that_of_a_plain_count(kind: str) -> None:
    data = samples(kind)
    seen = statistics(data)
    counts = np.histogram(data.double().numpy(), np.linspace(seen.low, seen.high, BINS + 1))[0].astype(float)
    for share in (1.0, 0.5, 0.2):
        low, high = max(min(seen.low, 0.0), -share * 4), min(max(seen.high, 0.0), share * 4)
        found = divergence(counts, seen.centres().numpy(), (low, high), 64)
        assert found == pytest.approx(divergence_of(data.double().numpy(), low, high, BINS, 64), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_entropy_observer_takes_the_threshold_with_the_least_divergence(kind: str) -> None:
    seen = statistics(samples(kind))
    low, high = entropy(seen)
    assert min(seen.low, 0.0) - 1e-6 <= low <= 0.0 <= high <= max(seen.high, 0.0) + 1e-6
    counts, centres = seen.histogram.numpy().copy(), seen.centres().numpy()
    zero = int(np.abs(centres).argmin())
    if abs(centres[zero]) <= centres[1] - centres[0]:  # zero is exact in any range: its bin says nothing
        counts[zero] = min(counts[zero], np.mean([counts[i] for i in (zero - 1, zero + 1) if 0 <= i < BINS]))
    largest = max(-low, high)
    for share in (1.0, 0.8, 0.6, 0.4):
        ends = max(min(seen.low, 0.0), -share * largest), min(max(seen.high, 0.0), share * largest)
        if share * largest > 256 * (seen.high - seen.low) / BINS:
            assert divergence(counts, centres, (low, high), 256) <= 1.0001 * divergence(counts, centres, ends, 256)


def test_entropy_clips_an_outlier_and_nothing_of_evenly_spread_data() -> None:
    assert entropy(statistics(samples("one outlier")))[1] < 20.0
    even = statistics(torch.linspace(-2.0, 2.0, 40_001))
    assert entropy(even) == pytest.approx((-2.0, 2.0), rel=0.01)


@pytest.mark.parametrize("name", OBSERVERS)
def test_every_observer_gives_a_network_that_works(name: str) -> None:
    after, record = quantized(NETWORK, options=PostTraining(name))
    assert sqnr(after, prepared(NETWORK)) > 20
    assert set(record.observers.values()) <= set(OBSERVERS) - {"auto"}
    assert name == "auto" or set(record.observers.values()) == {name}


NETWORK = """
graph g(%x: float32[N,3,8,8])
  @v: float32[8,3,3,3]
  @u: float32[5,8]
  %a = conv2d(%x, @v, padding=((1, 1), (1, 1)), activation='relu')
  %m = mean(%a, axes=(2, 3))
  %y = linear(%m, @u)
  return %y
"""


def test_auto_drops_an_observer_that_measurably_loses() -> None:
    errors = {
        "output_error": torch.tensor([4.0, 5.0, 4.0, 5.0]),
        "min_max": torch.tensor([2.0, 3.0, 2.0, 3.0]),
        "entropy": torch.tensor([9.0, 9.0, 9.0, 9.0]),
    }
    assert best_observer._best(errors) == "min_max"
    noisy = {"output_error": torch.tensor([4.0, 5.0, 4.0, 5.0]), "min_max": torch.tensor([9.0, 0.0, 0.0, 8.0])}
    assert best_observer._best(noisy) == "output_error"


def test_auto_measures_what_rounding_does_to_the_output_of_samples_it_did_not_fit() -> None:
    graph = prepared("graph g(%x: float32[N,6])\n@w: float32[4,6]\n%y = linear(%x, @w)\nreturn %y")
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(1))
    stats = collect(graph, [[x]], histograms=True)
    groups = build(graph, {id(graph.inputs[0])}, stats)
    group = groups.of(graph.inputs[0])
    narrow, wide = {id(group): (-0.3, 0.3)}, {id(group): (-3.0, 3.0)}
    found = best_observer.output_errors(graph, [[x]], {id(graph.inputs[0]): group}, {"narrow": narrow, "wide": wide})
    for name, ranges in (("narrow", narrow), ("wide", wide)):
        low, high = ranges[id(group)]
        step = (high - low) / 255
        zero = np.round(-128 - low / step)
        rounded = (np.clip(np.round(x.numpy() / step) + zero, -128, 127) - zero) * step
        change = (rounded - x.numpy()) @ graph.nodes[0].input(1).tensor.detach().numpy().T
        spread = float((x @ graph.nodes[0].input(1).tensor.T).std(correction=0))
        wanted = (change**2).sum(1).mean() / spread**2
        got = float(found[id(group)][name].sum()) / len(x)
        assert got == pytest.approx(wanted, rel=0.4)  # random projections of the output estimate it


def test_the_halves_share_no_sample() -> None:
    graph = parse("graph g(%x: float32[N,1])\n%y = relu(%x)\nreturn %y")
    x = torch.arange(22.0)[:, None]
    fitted, judged = best_observer.split(graph, [[x[:16]], [x[16:]]])
    a, b = ({float(v) for (t,) in half for v in t} for half in (fitted, judged))
    assert not a & b and len(a | b) == 22
