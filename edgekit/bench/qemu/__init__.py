"""A figure without noise: ARM64 instructions per inference, counted under user-mode emulation.

It is a cost, not a time: caches and pipelines are not in it. The emulated core and the runtime's version belong to the figure,
because the runtime picks its kernels by the core.
"""

from edgekit.bench.qemu.counting import Count, count, count_instructions
from edgekit.bench.qemu.cpu import CPUS
from edgekit.bench.qemu.toolbox import missing, set_up

__all__ = ["CPUS", "Count", "count", "count_instructions", "missing", "set_up"]
