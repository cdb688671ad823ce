"""What the page shows of quantisation."""

from __future__ import annotations

from dataclasses import replace

from edgekit.report import EqualizedPair, LayerSensitivity, QuantizationInfo, Report, RoundedLayer, SensitivityInfo
from edgekit.report.page import to_html
from tests.report.sample import sample
from tests.report.test_page import check


def report(*, metrics: tuple[float, ...] = (0.91, 0.87, 0.9), **changes: object) -> Report:
    rows = [
        LayerSensitivity(f"l{i}", f"layer<{i}>", "conv2d", "int4", 30.0 + 7 * i, {"top1": value})
        for i, value in enumerate(metrics)
    ]
    info = QuantizationInfo(
        "auto",
        {"output_error": 20, "entropy": 3},
        19,
        (RoundedLayer("stem.weight", 0.02, 0.01, 0.13, True), RoundedLayer("head.weight", 0.01, 0.02, 0.2, False)),
        (EqualizedPair("stem", "depth", 16, (0.02, 3.5), 40.0, 1.5),),
        {"head": "its output is one of the model's"},
        SensitivityInfo(tuple(rows), 64, 1000, {"top1": 0.91}),
    )
    return replace(sample(), quantization=replace(info, **changes))  # type: ignore[arg-type]


def test_the_layers_stand_worst_first_beside_two_plots() -> None:
    page = to_html(report())
    words = " ".join(check(page).words)
    assert words.index("layer<0>") < words.index("layer<1>")
    assert "0.8700 (-0.0400)" in words and "SQNR on 64 samples, metrics on 1,000." in words
    assert page.count('<svg class="plot columns"') == 2
    assert page.count('<rect class="c') > 5 and 'class="cbad"' in page
    assert "layer&lt;1&gt;: 0.87 top1" in page  # names are text


def test_metrics_that_no_layer_changes_need_no_plot() -> None:
    page = to_html(report(metrics=(0.91, 0.91)))
    assert "top1 stays 0.9100 whichever layer is quantised alone." in page
    assert page.count('<svg class="plot columns"') == 1


def test_choices_pairs_and_roundings_are_listed() -> None:
    words = " ".join(check(to_html(report())).words)
    assert "Ranges of activations: 20 by output_error, 3 by entropy. The mean error of 19 layers" in words
    assert "stem → depth" in words and "0.02 to 3.5" in words and "40 → 1.5" in words
    assert "left as they were: 1" in words and "its output is one of the model's" in words
    assert "nearest is better" in words and "13.00 %" in words


def test_nothing_is_said_where_nothing_was_asked_for() -> None:
    plain = report(sensitivity=None, rounding=(), equalized=(), not_equalized={}, observers={"output_error": 20})
    assert "Quantisation</h2>" not in to_html(plain)
    assert "Quantisation</h2>" not in to_html(sample())
