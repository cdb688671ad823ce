"""Benchmarks: an artifact and a device become a measurement with an interval, a verdict and no noise left unsaid.

:mod:`edgekit.bench.runner` runs on the device and stands alone; everything else runs on the host.
"""
