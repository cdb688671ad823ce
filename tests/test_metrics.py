"""Error figures against their definitions worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.metrics import has_scores, max_abs_error, sqnr_db, top1_agreement


def test_sqnr_is_signal_energy_over_noise_energy() -> None:
    assert sqnr_db([3.0, 4.0], [3.0, 4.5]) == pytest.approx(10 * math.log10(25 / 0.25))
    rng = np.random.default_rng(0)
    signal = rng.normal(size=10_000)
    assert sqnr_db(signal, signal + 0.01 * rng.normal(size=10_000)) == pytest.approx(40, abs=0.3)


def test_sqnr_is_summed_in_double_precision() -> None:
    reference = np.full(1 << 20, 1e-3, np.float32)
    assert sqnr_db(reference, reference * np.float32(1.5)) == pytest.approx(10 * math.log10(4), abs=1e-4)


def test_sqnr_of_equal_arrays_is_infinite_and_of_broken_ones_minus_infinite() -> None:
    assert sqnr_db([1.0, np.nan], [1.0, np.nan]) == math.inf
    assert sqnr_db([0.0], [0.0]) == math.inf
    assert sqnr_db([1.0], [np.nan]) == -math.inf
    assert sqnr_db([1.0], [np.inf]) == -math.inf
    assert sqnr_db([0.0], [1.0]) == -math.inf


def test_max_abs_error_is_the_largest_difference() -> None:
    assert max_abs_error([1.0, -2.0], [1.5, -2.0]) == 0.5
    assert max_abs_error([], []) == 0.0
    assert max_abs_error([np.inf], [np.inf]) == 0.0
    assert max_abs_error([1.0], [np.nan]) == math.inf
    assert max_abs_error(np.array([0], np.uint8), np.array([255], np.uint8)) == 255.0


def test_top1_agreement_takes_the_first_of_equal_scores() -> None:
    assert top1_agreement([[1, 2, 2]], [[0, 9, 0]]) == 1.0
    assert top1_agreement([[1, 2, 2]], [[0, 0, 9]]) == 0.0
    assert top1_agreement([[1, 2], [3, 1], [0, 1]], [[5, 6], [1, 3], [0, 1]]) == pytest.approx(2 / 3)


def test_arrays_that_do_not_fit_are_refused() -> None:
    for figure in (sqnr_db, max_abs_error, top1_agreement):
        with pytest.raises(ValueError, match="shapes"):
            figure([[1.0, 2.0]], [[1.0]])
    with pytest.raises(ValueError, match="samples, classes"):
        top1_agreement([1.0], [1.0])
    assert has_scores((4, 10)) and not has_scores((4, 1)) and not has_scores((4, 10, 3))
