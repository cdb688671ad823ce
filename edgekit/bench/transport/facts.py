"""What a device is and how it is doing, read by one shell script that needs no more than a POSIX shell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

#: Prints ``key=value`` lines. Everything optional is silent where it is missing. The child whose executable is looked at shows
#: user-mode emulation: an emulator hides itself from a process that asks about itself, not from its parent.
PROBE = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
first() { [ -r "$1" ] && head -n 1 "$1" | tr -d '\000'; }
say machine "$(uname -m)"; say release "$(uname -r)"; say system "$(uname -s)"
say model "$(first /proc/device-tree/model || first /sys/devices/virtual/dmi/id/product_name)"
say soc "$(first /sys/devices/soc0/machine || sed -n 's/^Hardware[^:]*: *//p' /proc/cpuinfo | head -n 1)"
say cpu "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)"
say parts "$(sed -n 's/^CPU part[^:]*: *//p' /proc/cpuinfo | sort | uniq -c | tr -s ' \n' ' ')"
say cores "$(grep -c '^processor' /proc/cpuinfo)"
say memory_kib "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
say bits "$(getconf LONG_BIT 2>/dev/null)"
say load "$(first /proc/loadavg)"
say os "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release 2>/dev/null)"
sleep 2 >/dev/null 2>&1 & say child "$(readlink /proc/$!/exe 2>/dev/null)"; kill $! 2>/dev/null
for c in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
  [ -d "$c" ] && say frequency "$(first "$c/scaling_cur_freq") $(first "$c/scaling_max_freq") $(first "$c/scaling_governor")"
done
for z in /sys/class/thermal/thermal_zone*; do [ -r "$z/temp" ] && say thermal "$(first "$z/type") $(first "$z/temp")"; done
for b in /sys/class/power_supply/*; do
  [ -r "$b/capacity" ] && say battery "$(first "$b/capacity") $(first "$b/status")"
done
if command -v getprop >/dev/null 2>&1; then
  for p in ro.product.model ro.product.manufacturer ro.soc.model ro.board.platform ro.product.cpu.abi ro.build.version.release \
      ro.build.version.sdk ro.kernel.qemu ro.boot.qemu; do say "$p" "$(getprop $p)"; done
fi
if command -v dumpsys >/dev/null 2>&1; then
  say thermal_status "$(dumpsys thermalservice 2>/dev/null | sed -n 's/^Thermal Status: *//p' | head -n 1)"
  say android_battery "$(dumpsys battery 2>/dev/null | sed -n 's/^ *level: *//p' | head -n 1)"
fi
:
"""

_Text = Callable[..., str]
_Number = Callable[[str], int | None]
_ABI = {"aarch64": "arm64-v8a", "armv7l": "armeabi-v7a", "armv8l": "armeabi-v7a", "x86_64": "x86_64"}


@dataclass(frozen=True)
class DeviceFacts:
    """What does not change while a benchmark runs; empty strings and None where the device does not say.

    Attributes:
        model: the product's name.
        soc: the chip.
        abi: ``arm64-v8a``, ``armeabi-v7a`` (also a 32-bit userland on a 64-bit kernel), ``x86_64``, else the kernel's machine.
        cpu: CPU name or ARM part numbers with their counts.
        cores: number of cores.
        memory_kib: total memory.
        system: operating system and release.
        emulated: True where the programs run in an emulator, whose times mean nothing.
    """

    model: str
    soc: str
    abi: str
    cpu: str
    cores: int | None
    memory_kib: int | None
    system: str
    emulated: bool


@dataclass(frozen=True)
class DeviceState:
    """What changes: frequencies in kHz (now, highest), governors, temperatures in degrees Celsius, battery in per cent."""

    governors: tuple[str, ...] = ()
    frequency_khz: tuple[int, ...] = ()
    frequency_max_khz: tuple[int, ...] = ()
    thermal_c: tuple[tuple[str, float], ...] = ()
    thermal_status: int | None = None
    battery_percent: int | None = None
    battery_status: str = ""
    load: str = ""


def parse_probe(text: str) -> tuple[DeviceFacts, DeviceState]:
    """The facts and the state that :data:`PROBE` printed."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and value.strip():
            found[key].append(value.strip())

    def one(*keys: str) -> str:
        return next((found[key][0] for key in keys if found.get(key)), "")

    def number(key: str) -> int | None:
        return int(one(key)) if one(key).isdigit() else None

    return _facts(one, number), _state(found, one, number)


def _facts(one: _Text, number: _Number) -> DeviceFacts:
    machine = one("machine")
    abi = one("ro.product.cpu.abi") or _ABI.get(machine, machine)
    if machine == "aarch64" and one("bits") == "32":
        abi = "armeabi-v7a"
    android = one("ro.build.version.release")
    foreign_kernel = machine.startswith(("aarch64", "arm")) and one("release").endswith(("amd64", "x86_64"))
    model = " ".join(part for part in (one("ro.product.manufacturer"), one("ro.product.model") or one("model")) if part)
    return DeviceFacts(
        model=model,
        soc=one("ro.soc.model", "soc", "ro.board.platform"),
        abi=abi,
        cpu=one("cpu", "parts"),
        cores=number("cores"),
        memory_kib=number("memory_kib"),
        system=f"Android {android} (API {one('ro.build.version.sdk')})" if android else one("os", "system"),
        emulated="qemu" in one("child") or foreign_kernel or "1" in (one("ro.kernel.qemu"), one("ro.boot.qemu")),
    )


def _state(found: dict[str, list[str]], one: _Text, number: _Number) -> DeviceState:
    cores = [line.split() for line in found["frequency"]]
    zones = [line.rsplit(" ", 1) for line in found["thermal"] if line.rsplit(" ", 1)[-1].lstrip("-").isdigit()]
    battery = one("battery").split()
    percent = number("android_battery")
    if percent is None and battery and battery[0].isdigit():
        percent = int(battery[0])
    return DeviceState(
        governors=tuple(sorted({core[2] for core in cores if len(core) == 3})),
        frequency_khz=tuple(int(core[0]) for core in cores if len(core) == 3),
        frequency_max_khz=tuple(int(core[1]) for core in cores if len(core) == 3),
        thermal_c=tuple((name.strip(), int(value) / 1000) for name, value in zones),
        thermal_status=number("thermal_status"),
        battery_percent=percent,
        battery_status=" ".join(battery[1:]),
        load=" ".join(one("load").split()[:3]),
    )
