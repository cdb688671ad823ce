"""Ways to a device: this machine, ssh and adb, behind the five verbs of :class:`edgekit.bench.transport.base.Transport`."""
