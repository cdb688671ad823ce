"""The measuring loop: order of launches, when it stops, and what it calls unstable."""

from __future__ import annotations

from edgekit.bench import rounds
from edgekit.bench.headline import headlines
from edgekit.bench.launch import Launch
from edgekit.bench.rounds import Stopping, run_rounds
from tests.bench.scripted import Scripted, busy_machine, launch, watched


def instability(launches: list[Launch], stopping: Stopping) -> tuple[str, ...]:
    [headline] = headlines([launches], stopping.launches)
    return rounds.instability(launches, headline, stopping)


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


class Watched:
    """Launches on a shared host: arm by arm, the undisturbed median of each launch, or None where other work never paused."""

    def __init__(self, *quiet: list[float | None]) -> None:
        self.quiet = [iter(arm) for arm in quiet]

    def launch(self, arm: int) -> Launch:
        return watched(70.0, next(self.quiet[arm]))


def test_a_shared_host_is_measured_until_half_of_the_launches_were_undisturbed() -> None:
    [launches] = run_rounds(Watched([None] * 12 + [44.0] * 28), 1, Stopping())
    assert len(launches) == 20  # 8 of the 15 that were planned


def test_a_host_that_is_never_quiet_is_measured_to_the_limit_and_said_to_be_unstable() -> None:
    [launches] = run_rounds(Watched([None] * 40), 1, Stopping())
    assert len(launches) == 40
    assert any("of all calls" in reason for reason in instability(launches, Stopping()))


def test_disturbed_launches_make_nothing_unstable_while_enough_others_agree() -> None:
    assert instability([watched(70.0, 44.0 if i % 2 else None) for i in range(16)], Stopping()) == ()
