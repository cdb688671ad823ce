"""The five verbs, the same on this machine, over ssh into an ARM64 root, and over adb in front of an ARM userland."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.bench.transport.choose import TransportOptions, open_transport
from edgekit.errors import DeviceError, UsageError
from tests.bench.devices import TestDevice, gone_within, running

AWKWARD = ["two words", "it's", '"quoted"', "$(touch /tmp/pwned)", "`id`", "a;b|c&d", "*", "line\nbreak", "back\\slash", ""]


def test_a_device_says_what_it_is(device: TestDevice) -> None:
    with device.open() as transport:
        facts, state = transport.probe()
    assert facts.abi == ("arm64-v8a" if device.arm64 else "x86_64")
    assert facts.emulated is device.arm64
    assert facts.cores and facts.memory_kib
    if device.name == "adb":
        assert (facts.model, facts.system) == ("edgekit Stand-in Watch", "Android 14 (API 34)")
        assert (state.battery_percent, state.thermal_status) == (83, 0)


def test_a_file_arrives_whole_and_comes_back_whole(device: TestDevice, tmp_path: Path) -> None:
    content = bytes(range(256)) * 300
    (tmp_path / "strange näme.bin").write_bytes(content)
    with device.open() as transport:
        remote = transport.put(tmp_path / "strange näme.bin")
        transport.get(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_changed_file_of_the_same_size_and_time_is_sent_again(device: TestDevice, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    with device.open() as transport:
        file.write_bytes(b"A" * 1000)
        os.utime(file, (1, 1))
        first = transport.put(file)
        file.write_bytes(b"B" * 1000)
        os.utime(file, (1, 1))
        second = transport.put(file)
        transport.get(second, tmp_path / "back")
    assert first != second and (tmp_path / "back").read_bytes() == b"B" * 1000


def test_a_file_that_is_there_is_verified_and_not_sent_again(
    device: TestDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(b"A" * 1000)
    with device.open() as transport:
        sent: list[str] = []
        send = transport._send
        monkeypatch.setattr(transport, "_send", lambda local, remote: (sent.append(remote), send(local, remote))[1])
        remote = transport.put(file)
        assert transport.put(file) == remote and len(sent) == 1
        transport._sh('echo spoiled > "$1"', remote)  # somebody wrote there
        assert transport.put(file) == remote and len(sent) == 2


def test_a_copy_that_differs_is_an_error_and_does_not_stay(
    device: TestDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(b"A" * 1000)
    with device.open() as transport:
        monkeypatch.setattr(transport, "_send", lambda local, remote: "0" * 64)
        with pytest.raises(DeviceError, match="differs from the original"):
            transport.put(file)
        assert transport._sh('ls "$1"', transport._folder).stdout == b""


def test_a_program_runs_with_its_arguments_untouched_and_its_exit_code(device: TestDevice) -> None:
    script = 'for word in "$@"; do printf "[%s]" "$word"; done; echo oops >&2; exit 7'
    with device.open() as transport:
        finished = transport.run(["/bin/sh", "-c", script, "sh", *AWKWARD], limit=30)
        assert finished.stdout == "".join(f"[{word}]" for word in AWKWARD)
        assert (finished.exit, finished.stderr.strip()) == (7, "oops")
        assert transport._sh("[ ! -e /tmp/pwned ] && echo fine").stdout.strip() == b"fine"


def test_a_run_ends_when_its_time_is_up(device: TestDevice) -> None:
    mark = {"local": "77.1", "ssh": "77.2", "adb": "77.3"}[device.name]
    with device.open() as transport:
        began = time.monotonic()
        assert transport.run(["sleep", mark], limit=2).exit == 137
        assert time.monotonic() - began < 15
    assert gone_within(5, mark)


def test_what_the_program_started_ends_with_it(device: TestDevice) -> None:
    mark = {"local": "76.1", "ssh": "76.2", "adb": "76.3"}[device.name]
    with device.open() as transport:
        assert transport.run(["sh", "-c", f"sleep {mark}; true"], limit=2).exit == 137
        assert gone_within(5, f"sleep {mark}")
        assert transport.run(["sh", "-c", f"sleep {mark} >/dev/null 2>&1 & exit 3"], limit=20).exit == 3
        assert gone_within(5, f"sleep {mark}")


def test_a_cut_connection_leaves_no_process_after_five_seconds(device: TestDevice) -> None:
    mark = {"local": "78.1", "ssh": "78.2", "adb": "78.3"}[device.name]
    with device.open() as transport:
        transport.put(Path(__file__))
        script = transport._connect('exec sh -c "$1" sh "$2" 60 no sleep "$3"', [_guard(), transport._folder, mark])
        nothing = subprocess.DEVNULL
        connection = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True)
        assert connection.stdin
        for _ in range(100):
            connection.stdin.write(b"\n")
            connection.stdin.flush()
            if len(running(f"sleep {mark}")) > 0:
                break
            time.sleep(0.1)
        assert running(f"sleep {mark}")
        # Nothing is closed and nobody speaks any more, as when a cable is cut.
        assert gone_within(5, f"sleep {mark}")
        connection.stdin.close()
        connection.wait(20)
    assert device.leftovers() == []


def _guard() -> str:
    from edgekit.bench.transport.guard import GUARD

    return GUARD


HOST = """
import sys
sys.path.insert(0, {repository!r})
from tests.bench.devices import *
from edgekit.bench.transport.adb import AdbTransport
from edgekit.bench.transport.local import LocalTransport
from edgekit.bench.transport.ssh import SshTransport
with {opener} as transport:
    transport.run(["sleep", "{mark}"], limit=60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_host_that_dies_leaves_nothing_on_the_device(device: TestDevice, how: signal.Signals) -> None:
    mark = f"79.{how.value}{['local', 'ssh', 'adb'].index(device.name)}"
    example = device.open()
    opener = {
        "local": f"LocalTransport(folder={device.folders!r})",
        "ssh": f"SshTransport({example.name!r}, config={getattr(example, '_config', '')!r})",
        "adb": f"AdbTransport({example.name.removeprefix('adb:')!r})",
    }[device.name]
    script = HOST.format(repository=str(Path(__file__).parents[2]), opener=opener, mark=mark)
    host = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 40
    while not running(f"sleep {mark}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(f"sleep {mark}")
    host.send_signal(how)
    host.wait(20)
    assert gone_within(15, f"sleep {mark}")
    deadline = time.monotonic() + 15
    while device.leftovers() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert device.leftovers() == []


def test_leaving_the_block_removes_everything_even_after_an_error(device: TestDevice) -> None:
    with pytest.raises(ZeroDivisionError), device.open() as transport:
        transport.put(Path(__file__))
        assert transport._sh('ls "$1"', transport._folder).stdout
        raise ZeroDivisionError
    assert device.leftovers() == []


def test_files_stay_where_asked_and_are_found_by_the_next_session(device: TestDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    with device.open(keep=True) as transport:
        remote = transport.put(Path(__file__))
    with device.open(keep=True) as transport:
        monkeypatch.setattr(transport, "_send", lambda local, there: pytest.fail("sent again"))
        assert transport.put(Path(__file__)) == remote
        transport._sh('rm -rf "$1"', transport._folder)


@pytest.mark.parametrize("way", ["ssh", "adb"])
def test_a_full_device_is_an_error_and_keeps_nothing(way: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    device: TestDevice = request.getfixturevalue(way)
    file = tmp_path / "large.tflite"
    file.write_bytes(os.urandom(300_000))
    with device.open(folder=device.full_folder) as transport:
        with pytest.raises(DeviceError, match="the device is full") as caught:
            transport.put(file)
        assert caught.value.hint and caught.value.exit_code == 6
        assert transport._sh('ls "$1"', transport._folder).stdout == b""
        transport.clean_up()
        assert transport._sh("ls /full").stdout == b""


def test_a_folder_that_cannot_be_made_is_an_error(device: TestDevice) -> None:
    with device.open(folder="/proc/nowhere") as transport, pytest.raises(DeviceError) as caught:
        transport.put(Path(__file__))
    assert caught.value.hint is None or "--folder" in caught.value.hint


def test_an_unreachable_host_is_told_with_what_to_try(ssh: TestDevice) -> None:
    transport = open_transport("ssh://127.0.0.1:1")
    with pytest.raises(DeviceError, match=r"ssh cannot reach the device: .*refused") as caught:
        transport.probe()
    assert caught.value.exit_code == 6 and caught.value.hint and "port" in caught.value.hint


def test_a_wrong_key_is_told_with_how_to_bring_the_right_one(ssh: TestDevice) -> None:
    config = str(ssh.open()._config).replace("config", "stranger_config")  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match="Permission denied") as caught:
        ssh.open(config=config).probe()
    assert caught.value.hint and "ssh-copy-id" in caught.value.hint


def test_a_host_key_that_changed_is_not_accepted(ssh: TestDevice, tmp_path: Path) -> None:
    config = tmp_path / "config"
    original = Path(ssh.open()._config)  # type: ignore[attr-defined]
    (tmp_path / "known").write_text("")
    config.write_text(original.read_text().replace(str(original.parent / "known"), str(tmp_path / "known")))
    with pytest.raises(DeviceError, match=r"(?i)host key") as caught:
        ssh.open(config=str(config)).probe()
    assert caught.value.hint and "fingerprint" in caught.value.hint


def test_a_serial_that_is_not_connected_is_told(adb: TestDevice) -> None:
    with pytest.raises(DeviceError, match="not found") as caught:
        open_transport("adb:nobody").probe()
    assert caught.value.exit_code == 6 and caught.value.hint and "adb devices" in caught.value.hint


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for address, program in (("ssh://host", "ssh"), ("adb", "adb")):
        with pytest.raises(DeviceError, match=f"'{program}' is not installed") as caught:
            open_transport(address).probe()
        assert caught.value.hint and "apt install" in caught.value.hint


@pytest.mark.parametrize(
    "address", ["", "telnet://x", "ssh://", "ssh://-oProxyCommand=x", "ssh://h:no", "ssh://h/path", "adb:-s x"]
)
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError):
        open_transport(address, TransportOptions())
