"""The calls that a figure is of: the undisturbed ones on a host, all elsewhere, and never a mixture."""

from __future__ import annotations

import pytest

from edgekit.bench.headline import Calls, full_speed, headlines, ratio
from edgekit.bench.statistics import Change, change_of
from tests.bench.scripted import busy_machine, launch, watched


def test_launches_that_were_not_watched_are_read_by_all_their_calls() -> None:
    [headline] = headlines([[launch(50.0), launch(52.0), launch(51.0)]], 3)
    assert (headline.calls, headline.medians, headline.disturbed) == (Calls.ALL, (50.0, 52.0, 51.0), 0)


def test_watched_launches_are_read_by_their_undisturbed_calls() -> None:
    [headline] = headlines([[watched(70.0, 44.0), watched(60.0, None), watched(65.0, 44.2)]], 3)
    assert (headline.calls, headline.medians, headline.disturbed) == (Calls.UNDISTURBED, (44.0, 44.2), 1)
    assert headline.estimate().value == pytest.approx(44.1)


def test_a_launch_whose_fastest_tick_was_slow_was_disturbed_throughout() -> None:
    """It found calls between two equal ticks, but all of its ticks were slow ones."""
    arm = [watched(70.0, 44.0) for _ in range(5)] + [watched(60.0, 58.0, full_us=14.0)]
    [headline] = headlines([arm], 6)
    assert headline.medians == (44.0,) * 5 and headline.disturbed == 1


def test_a_few_calls_are_no_median() -> None:
    [headline] = headlines([[watched(70.0, 44.0), watched(70.0, 44.0), watched(70.0, 47.0, calls=9)]], 3)
    assert headline.medians == (44.0, 44.0)


def test_one_launch_that_ran_above_the_usual_clock_does_not_rule_out_the_others() -> None:
    arm = [watched(45.0, 44.0) for _ in range(9)] + [watched(40.0, 39.0, full_us=8.0)]
    assert full_speed(arm) == 10.0
    assert headlines([arm], 10)[0].estimate().value == 44.0


def test_where_most_launches_are_disturbed_all_calls_count() -> None:
    [headline] = headlines([[watched(70.0, 44.0)] + [watched(70.0, None)] * 2], 3)
    assert headline.calls is Calls.ALL and headline.medians == (70.0,) * 3


def test_artifacts_of_one_session_are_read_alike() -> None:
    quiet, disturbed = [watched(70.0, 44.0)] * 4, [watched(75.0, None)] * 4
    assert [headline.calls for headline in headlines([quiet, disturbed], 4)] == [Calls.ALL] * 2
    assert [headline.calls for headline in headlines([quiet, quiet], 4)] == [Calls.UNDISTURBED] * 2


def test_a_ratio_is_of_the_same_kind_of_calls() -> None:
    first, second = busy_machine(3)
    base, other = ([watched(arm(i), 44.0 * factor) for i in range(15)] for arm, factor in ((first, 1.0), (second, 1.1)))
    found = ratio(*headlines([base, other], 15))
    assert found.value == pytest.approx(1.1) and change_of(found) is Change.SLOWER
