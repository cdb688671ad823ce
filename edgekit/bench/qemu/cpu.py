"""The ARM cores that can be emulated, and the /proc/cpuinfo that a program must see on each.

XNNPACK picks kernels by the core's part number, which it reads from /proc/cpuinfo. The emulator does not provide that file, so
the root folder carries one that matches; a wrong or missing one silently selects other kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.tables import did_you_mean

_BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32"
_V8_2 = " atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


@dataclass(frozen=True)
class Cpu:
    """A core: its name in QEMU, the part number of its main ID register, and its hardware capabilities as Linux lists them."""

    name: str
    part: int
    features: str

    def cpuinfo(self, cores: int = 4) -> str:
        """The text of /proc/cpuinfo on a machine with so many of these cores."""
        lines = (
            "processor\t: {core}",
            "BogoMIPS\t: 38.40",
            f"Features\t: {self.features}",
            "CPU implementer\t: 0x41",
            "CPU architecture: 8",
            "CPU variant\t: 0x0",
            f"CPU part\t: 0x{self.part:03x}",
            "CPU revision\t: 4",
            "\n",
        )
        return "".join("\n".join(lines).format(core=core) for core in range(cores))


#: Part numbers: Arm's technical reference manuals, MIDR_EL1.PartNum of each core.
CPUS: dict[str, Cpu] = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a35", 0xD04, _BASE + " cpuid"),
        Cpu("cortex-a53", 0xD03, _BASE + " cpuid"),
        Cpu("cortex-a57", 0xD07, _BASE + " cpuid"),
        Cpu("cortex-a72", 0xD08, _BASE + " cpuid"),
        Cpu("cortex-a76", 0xD0B, _BASE + _V8_2),
        Cpu("neoverse-n1", 0xD0C, _BASE + _V8_2),
    )
}


def cpu_named(name: str) -> Cpu:
    """The core of this name; UsageError for one that cannot be emulated."""
    if name not in CPUS:
        raise UsageError(f"no emulated core '{name}'", where="--on qemu:CPU", hint=did_you_mean(name, CPUS))
    return CPUS[name]
