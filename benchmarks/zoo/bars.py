"""What every file of every architecture is held to."""

from __future__ import annotations

from benchmarks.checks import Check
from benchmarks.zoo.common import ARCHITECTURES
from benchmarks.zoo.exports import Export


def checks_of(export: Export) -> list[Check]:
    """The figures of a file beside their bars."""
    subject, checks = f"{export.network} to {export.target}", list[Check]()
    if export.relative_error is not None:
        checks.append(Check(subject, "largest error relative to the source", export.relative_error, 1e-4, "<="))
    if export.sqnr_reference is not None:
        checks.append(Check(subject, "SQNR against the simulation, reference kernels, dB", export.sqnr_reference, 25.0, ">="))
    if export.sqnr_kernels is not None:
        checks.append(Check(subject, "SQNR against the simulation, dB", export.sqnr_kernels, 25.0, ">="))
    architecture = ARCHITECTURES[export.network]
    if architecture.convolutional and export.target.startswith("tflite"):
        checks.append(Check(subject, "TRANSPOSE", export.count("TRANSPOSE"), architecture.transposes, "<="))
    if export.target in architecture.ops:
        checks.append(Check(subject, "operators", sum(export.ops.values()), architecture.ops[export.target], "<="))
    return checks
