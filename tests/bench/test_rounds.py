"""The measuring loop: order of launches, when it stops, and what it calls unstable."""

from __future__ import annotations

from edgekit.bench.rounds import Stopping, instability, run_rounds
from tests.bench.scripted import Scripted, busy_machine, launch


def test_launches_of_several_artifacts_take_turns() -> None:
    executor = Scripted(lambda i: 5.0, lambda i: 6.0)
    run_rounds(executor, 2, Stopping(launches=3))
    assert executor.calls == [0, 1, 0, 1, 0, 1]


def test_a_steady_machine_needs_no_more_than_the_default_launches() -> None:
    [launches] = run_rounds(Scripted(lambda i: 5.0 + 0.001 * (i % 3)), 1, Stopping())
    assert len(launches) == 15


def test_a_noisy_machine_is_measured_until_the_interval_is_narrow_or_the_limit_is_reached() -> None:
    [narrowing] = run_rounds(Scripted(lambda i: 5.0 + (1.0 if i < 12 and i % 2 else 0.0)), 1, Stopping())
    assert 15 < len(narrowing) < 40
    [endless] = run_rounds(Scripted(lambda i: 5.0 * (1 + i % 2)), 1, Stopping())
    assert len(endless) == 40


def test_fewer_launches_than_asked_for_are_never_made() -> None:
    [launches] = run_rounds(Scripted(lambda i: 5.0), 1, Stopping(launches=3, at_most=2))
    assert len(launches) == 2


def test_progress_is_told_after_each_round() -> None:
    seen: list[tuple[int, int, bool]] = []
    run_rounds(
        Scripted(lambda i: 5.0),
        1,
        Stopping(launches=3),
        progress=lambda done, of, width: seen.append((done, of, width is None)),
    )
    assert seen == [(1, 40, True), (2, 40, True), (3, 40, False)]


def test_steady_launches_are_stable() -> None:
    assert instability([launch(5.0 + 0.01 * (i % 3)) for i in range(15)], Stopping()) == ()


def test_a_machine_whose_speed_varies_between_launches_is_unstable() -> None:
    launches = [launch(5.0, sentinel=(60.0 + 20 * (i % 2),) * 2) for i in range(15)]
    assert instability(launches, Stopping()) == ("the machine's speed varied by 33% between launches",)


def test_a_machine_that_slows_down_within_launches_is_unstable() -> None:
    launches = [launch(5.0, sentinel=(60.0, 75.0)) for _ in range(15)]
    assert instability(launches, Stopping()) == ("the machine's speed varied by 25% within a launch",)


def test_a_wide_interval_is_unstable() -> None:
    first, _ = busy_machine(5)
    assert any("interval" in reason for reason in instability([launch(first(i)) for i in range(5)], Stopping()))


def test_a_cold_start_has_no_sentinel_and_is_judged_by_its_interval_alone() -> None:
    assert instability([launch(5.0, sentinel=None) for _ in range(15)], Stopping()) == ()
