"""A session from launches to verdicts, exit codes and every form of output, with launches that are scripted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from edgekit.bench import session as sessions
from edgekit.bench.budget import Place, Verdict, check_artifact, check_latency, check_memory
from edgekit.bench.compare import compare
from edgekit.bench.execute import Arm
from edgekit.bench.launch import Golden, Launch, Memory, Request
from edgekit.bench.output.document import SCHEMA_FILE, as_document
from edgekit.bench.output.junit import as_junit
from edgekit.bench.output.markdown import as_markdown
from edgekit.bench.output.table import print_table
from edgekit.bench.output.words import digits, micros
from edgekit.bench.rounds import Executor, Stopping
from edgekit.bench.session import Session
from edgekit.bench.statistics import Change, Estimate
from edgekit.bench.transport.base import Finished
from edgekit.bench.transport.facts import PROBE, DeviceFacts, DeviceState, parse_probe
from edgekit.errors import InputError
from edgekit.target import Budget, Device, DeviceRuntime, Hardware, device_names
from tests.bench.models import dense
from tests.bench.scripted import Scripted, launch, watched

FACTS = DeviceFacts(
    "Raspberry Pi 4 Model B Rev 1.4", "BCM2711", "arm64-v8a", "4 0xd08", 4, 3_884_000, "Debian 12", emulated=False
)


UNKNOWN = DeviceState()


class FakeTransport:
    """A device that only says what it is."""

    def __init__(self, name: str = "ssh://pi@pi", facts: DeviceFacts = FACTS, after: DeviceState = UNKNOWN) -> None:
        self.name, self.facts, self.states = name, facts, [DeviceState(), after]

    def probe(self) -> tuple[DeviceFacts, DeviceState]:
        return self.facts, self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def put(self, file: Path) -> str:
        raise AssertionError

    def run(self, command: object, *, limit: float) -> Finished:
        raise AssertionError

    def get(self, remote: str, file: Path) -> None:
        raise AssertionError

    def clean_up(self) -> None: ...

    def __enter__(self) -> FakeTransport:
        return self

    def __exit__(self, *exception: object) -> None: ...


class Each:
    """An executor whose every launch is the same."""

    def __init__(self, made: Launch) -> None:
        self.made = made

    def launch(self, arm: int) -> Launch:
        return self.made


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(dense(64, 16))
    return path


def measure(artifact: Path, executor: Executor, arms: int = 1, **other: object) -> Session:
    transport = other.pop("transport", None) or FakeTransport()
    files = [Arm(artifact.with_name(f"model{i}.tflite" if i else artifact.name)) for i in range(arms)]
    for arm in files:
        arm.artifact.write_bytes(artifact.read_bytes())
    stopping = Stopping(launches=8, at_most=8)
    return sessions.measure(transport, files, Request(), stopping, python="python3", executor=executor, **other)  # type: ignore[arg-type]


def device(**budget: object) -> Device:
    hardware = Hardware("BCM2711", "arm64-v8a", qemu_cpu="cortex-a72")
    return Device("Raspberry Pi 4", hardware, DeviceRuntime("litert"), Budget(**budget), name="pi-4")  # type: ignore[arg-type]


def test_a_device_within_its_budget_passes(artifact: Path) -> None:
    session = measure(
        artifact, Each(launch(5000.0)), device=device(p95_latency_ms=7, model_bytes=9000, peak_memory_bytes=2 << 20)
    )
    assert [(c.name, c.verdict) for c in session.results[0].checks] == [
        ("latency_p95", Verdict.PASS),
        ("memory", Verdict.PASS),
        ("model_size", Verdict.PASS),
    ]
    assert session.exit_code() == 0 and session.place is Place.DEVICE


def test_a_device_over_its_budget_fails_with_exit_code_three(artifact: Path) -> None:
    session = measure(artifact, Each(launch(5000.0)), device=device(p95_latency_ms=5.5))
    [check] = session.results[0].checks
    assert (check.verdict, check.value, session.exit_code()) == (Verdict.FAIL, pytest.approx(6.0), 3)


@pytest.mark.parametrize(
    ("transport", "place"),
    [
        (FakeTransport("local", replace(FACTS, abi="x86_64", model="A laptop")), Place.HOST),
        (FakeTransport("ssh://host", replace(FACTS, abi="x86_64")), Place.HOST),
        (FakeTransport("adb", replace(FACTS, emulated=True)), Place.EMULATOR),
    ],
)
def test_milliseconds_elsewhere_than_on_the_device_are_never_judged(
    artifact: Path, transport: FakeTransport, place: Place
) -> None:
    session = measure(artifact, Each(launch(1e9)), transport=transport, device=device(p95_latency_ms=1))
    [check] = session.results[0].checks
    assert (session.place, check.verdict, check.value) == (place, Verdict.NOT_MEASURABLE, None)
    assert "says nothing about the device's time" in check.reason
    assert session.exit_code() == 0 and session.exit_code(strict=True) == 3


def test_this_machine_is_the_device_where_it_says_so_itself(artifact: Path) -> None:
    session = measure(artifact, Each(launch(5.0)), transport=FakeTransport("local"), device=device(p95_latency_ms=1))
    assert session.place is Place.DEVICE and session.results[0].checks[0].verdict is Verdict.PASS


def test_noise_that_hides_the_answer_is_exit_code_seven(artifact: Path) -> None:
    noisy = Scripted(lambda i: 5000.0 * (1.4 if i % 2 else 0.8))
    session = measure(artifact, noisy, device=device(p95_latency_ms=6))
    [check] = session.results[0].checks
    assert check.inconclusive and check.verdict is Verdict.NOT_MEASURABLE and session.exit_code() == 7


@pytest.mark.parametrize(("kind", "kib"), [("rss_anon_delta", 1024), ("total_rss", 9000), ("vm_hwm", 50000)])
def test_memory_is_of_the_kind_that_the_budget_names(kind: str, kib: int) -> None:
    budget = Budget(peak_memory_bytes=kib * 1024, memory=kind)  # type: ignore[arg-type]
    memory = Memory(model=1024, stack=9000, peak=50000)
    assert check_memory(memory, Place.HOST, budget)[0].value == kib * 1024
    assert check_memory(memory, Place.EMULATOR, budget)[0].verdict is Verdict.NOT_MEASURABLE
    assert check_memory(Memory(), Place.DEVICE, budget)[0].verdict is Verdict.NOT_MEASURABLE


def test_a_check_without_a_limit_is_not_made() -> None:
    assert check_latency(Estimate(1, 1, 1, 0.95), Place.DEVICE, (), Budget()) == []


def test_a_finished_file_is_checked_without_a_device(artifact: Path) -> None:
    checks = {check.name: check for check in check_artifact(artifact, device(p95_latency_ms=1, model_bytes=100))}
    assert checks["model_size"].verdict is Verdict.FAIL
    assert checks["latency_p95"].verdict is Verdict.NOT_MEASURABLE and "--device pi-4" in checks["latency_p95"].reason


def test_every_shipped_device_has_a_budget_that_can_be_checked(artifact: Path) -> None:
    names = {"wear-w5", "wear-ambient", "wear-exynos", "wear-legacy32", "banglejs2", "mcu-u5", "mcu-nrf5340", "mcu-apollo4p"}
    assert names | {"pi-zero2w", "pi-4", "pi-5"} <= set(device_names())
    for name in names:
        loaded = Device.load(name)
        assert loaded.budget.p95_latency_ms and loaded.budget.model_bytes
        assert (loaded.budget.arena_bytes is not None) == (loaded.runtime.name == "tflite-micro")


def test_artifacts_measured_in_turn_are_compared(artifact: Path) -> None:
    session = measure(artifact, Scripted(lambda i: 5.0, lambda i: 6.0), arms=2)
    [pair] = session.pairs
    assert (pair.change, pair.ratio.value) == (Change.SLOWER, pytest.approx(1.2)) and session.exit_code() == 0


def test_golden_outputs_that_differ_are_exit_code_five(artifact: Path) -> None:
    session = measure(artifact, Each(launch(5.0, golden=Golden(False, 3, 2.0))))
    assert session.exit_code() == 5 and replace(session, tolerance=2.0).exit_code() == 0


def test_what_speaks_against_the_figures_is_said(artifact: Path) -> None:
    state = DeviceState(governors=("powersave",), thermal_status=3, battery_percent=9)
    transport = FakeTransport(after=state)
    transport.states[0] = state
    session = measure(artifact, Each(launch(5.0, notes=("Error in cpuinfo: x",))), transport=transport)
    text = "\n".join(session.warnings + session.results[0].warnings)
    for words in ("powersave", "thermal status 3", "battery is at 9 %", "fell back to other kernels"):
        assert words in text
    assert session.exit_code() == 0 and session.exit_code(strict=True) == 3


def documents(session: Session, tmp_path: Path) -> Path:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(as_document(session, version="0.1.0", exit_code=0)))
    return path


def test_the_document_follows_its_published_schema(artifact: Path, tmp_path: Path) -> None:
    golden = launch(5.0, golden=Golden(True, 0, 0.0))
    session = measure(artifact, Each(golden), arms=2, device=device(p95_latency_ms=7, arena_bytes=10, instructions=10))
    session = replace(session, comparison=compare(documents(session, tmp_path), session.results, session.on))
    document = json.loads(json.dumps(as_document(session, version="0.1.0", exit_code=0)))
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    metrics = document["results"][0]["metrics"]
    assert metrics["latency_us"]["median"] == 5.0 and metrics["latency_us"]["ci95"] == [5.0, 5.0]
    assert metrics["memory"]["model_kib"] == 1024 and document["results"][0]["budget"]["checks"][0]["verdict"] == "pass"
    document["results"][0]["metrics"]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_a_slower_build_fails_the_regression_gate(artifact: Path, tmp_path: Path) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    slower = measure(artifact, Each(launch(110.0)))
    slower = replace(slower, comparison=compare(old, slower.results, slower.on))
    found = {finding.metric: finding.change for finding in slower.comparison.findings}  # type: ignore[union-attr]
    assert found == {"model.bytes": Change.SAME, "latency_us.median": Change.SLOWER, "memory.model_kib": Change.SAME}
    assert slower.exit_code() == 3


def test_a_baseline_that_was_set_by_hand_is_taken_at_its_word(artifact: Path, tmp_path: Path) -> None:
    session = measure(artifact, Each(launch(100.0)))
    old = documents(session, tmp_path)
    content = json.loads(old.read_text())
    content["results"][0]["metrics"]["latency_us"]["median"] = 80.0
    old.write_text(json.dumps(content))
    [finding] = [f for f in compare(old, session.results, session.on).findings if f.metric.startswith("latency")]
    assert (finding.old, finding.new, finding.change) == (80.0, 100.0, Change.SLOWER)


def test_the_same_build_passes_the_regression_gate(artifact: Path, tmp_path: Path) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    same = measure(artifact, Each(launch(101.0)))
    assert replace(same, comparison=compare(old, same.results, same.on)).exit_code() == 0


def test_a_larger_file_fails_the_regression_gate(artifact: Path, tmp_path: Path) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    artifact.write_bytes(artifact.read_bytes() + bytes(100))
    larger = measure(artifact, Each(launch(100.0)))
    assert replace(larger, comparison=compare(old, larger.results, larger.on)).exit_code() == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sentinel_fastest_us": 90.0}, "50% slower"),
        ({"runtime": {"name": "litert", "version": "9.9"}}, "another version"),
    ],
)
def test_what_cannot_be_compared_is_said_and_not_judged(
    artifact: Path, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    new = measure(artifact, Each(launch(150.0, **changes)))
    comparison = compare(old, new.results, new.on)
    [finding] = [finding for finding in comparison.findings if finding.metric.startswith("latency")]
    assert finding.ratio is None and why in finding.note and replace(new, comparison=comparison).exit_code() == 0


def test_an_older_session_on_another_device_is_not_compared_in_time(artifact: Path, tmp_path: Path) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    new = measure(artifact, Each(launch(150.0)), transport=FakeTransport("adb:other"))
    [finding] = [f for f in compare(old, new.results, new.on).findings if f.metric.startswith("latency")]
    assert finding.note == "the older session ran on another device"


def test_figures_of_different_calls_are_not_compared(artifact: Path, tmp_path: Path) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    new = measure(artifact, Each(watched(150.0, 90.0)))
    [finding] = [f for f in compare(old, new.results, new.on).findings if f.metric.startswith("latency")]
    assert finding.note == "the older figure is of all calls, this one of undisturbed calls"


def test_a_host_is_as_fast_as_its_tick_however_busy_it_is(artifact: Path, tmp_path: Path) -> None:
    """The sentinel's longer loop may never have met full speed on a busy machine: that alone forbids no comparison."""
    quiet = measure(artifact, Each(watched(90.0, 90.0)))
    busy = replace(watched(150.0, 99.0), sentinel_fastest_us=90.0)
    new = measure(artifact, Each(busy))
    [finding] = [f for f in compare(documents(quiet, tmp_path), new.results, new.on).findings if "latency" in f.metric]
    assert finding.change is Change.SLOWER
    slower_clock = measure(artifact, Each(watched(150.0, 99.0, full_us=12.0)))
    [finding] = [f for f in compare(documents(quiet, tmp_path), slower_clock.results, new.on).findings if "latency" in f.metric]
    assert "20% slower" in finding.note


def test_the_median_on_a_shared_host_is_of_the_undisturbed_calls_and_the_percentiles_of_all(artifact: Path) -> None:
    session = measure(artifact, Each(watched(70.0, 44.0)), transport=FakeTransport("local", replace(FACTS, abi="x86_64")))
    latency = as_document(session, version="0.1.0", exit_code=0)["results"][0]["metrics"]["latency_us"]
    assert (latency["median"], latency["ci95"], latency["calls"]) == (44.0, [44.0, 44.0], "undisturbed")
    assert (latency["p50"], latency["launches"], latency["disturbed_launches"]) == (70.0, 8, 0)
    assert session.request.watch and not measure(artifact, Each(launch(70.0))).request.watch


def test_an_older_file_that_is_none_is_an_input_error(artifact: Path, tmp_path: Path) -> None:
    new = measure(artifact, Each(launch(1.0)))
    (tmp_path / "other.json").write_text('{"schema": "edgekit.report/1"}')
    for name in ("missing.json", "other.json"):
        with pytest.raises(InputError) as caught:
            compare(tmp_path / name, new.results, new.on)
        assert caught.value.where and caught.value.hint


def test_people_see_the_figures_the_budget_and_the_warnings(artifact: Path) -> None:
    budget = device(p95_latency_ms=5.5, model_bytes=9000)
    session = measure(artifact, Each(launch(5000.0, notes=("Error in cpuinfo: x",))), device=budget)
    console = Console(width=200, record=True, force_terminal=False)
    with console.capture() as capture:
        print_table(session, console)
    text = capture.get()
    for words in ("model.tflite", "5.00 ms", "1.00 MiB", "latency_p95: 6.00 ms of 5.50 ms, fail", "warning: model.tflite"):
        assert words in text
    markdown = as_markdown(session)
    assert markdown.splitlines()[2].startswith("| model | latency |") and "- model.tflite latency_p95" in markdown


def test_a_ci_server_sees_failures_and_skips(artifact: Path, tmp_path: Path) -> None:
    old = documents(measure(artifact, Each(launch(100.0))), tmp_path)
    session = measure(artifact, Each(launch(110.0)), device=device(model_bytes=100, p95_latency_ms=7, instructions=1))
    session = replace(session, comparison=compare(old, session.results, session.on))
    suite = ElementTree.fromstring(as_junit(session))
    names = {case.get("name"): [child.tag for child in case] for case in suite}
    assert names["budget model_size"] == ["failure"] and names["budget latency_p95"] == []
    assert names["regression latency_us.median"] == ["failure"]
    assert suite.get("tests") == str(len(suite)) and suite.get("failures") is not None


@pytest.mark.parametrize(
    ("value", "text"), [(0.5312, "0.531"), (5.3, "5.30"), (54.0, "54.0"), (543.6, "544"), (999.7, "1,000"), (12345.6, "12,300")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert digits(value) == text


def test_times_are_shown_in_the_unit_that_fits() -> None:
    assert [micros(value) for value in (5.3, 1234.0, 2.5e6, None)] == ["5.30 us", "1.23 ms", "2.50 s", "-"]


def test_the_probe_of_a_bare_device_is_understood() -> None:
    facts, state = parse_probe("machine=armv7l\nrelease=5.4.0\ncores=4\nparts= 4 0xc07\nfrequency=600000 1200000 ondemand\n")
    assert (facts.abi, facts.cores, facts.emulated, facts.memory_kib) == ("armeabi-v7a", 4, False, None)
    assert (state.governors, state.frequency_khz, state.frequency_max_khz) == (("ondemand",), (600000,), (1200000,))
    assert "/proc/cpuinfo" in PROBE
    assert parse_probe("") == (DeviceFacts("", "", "", "", None, None, "", False), DeviceState())


def test_a_32_bit_userland_on_a_64_bit_kernel_is_a_32_bit_device() -> None:
    assert parse_probe("machine=aarch64\nbits=32\n")[0].abi == "armeabi-v7a"
